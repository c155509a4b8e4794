"""A report as one HTML page that needs nothing else: no script, no font, no picture, no network.

The page is built as a tree of elements (`xml.etree`), not from a template. Text can come into such a tree as text only,
so there is no place where somebody could forget to escape it, no filter that switches escaping off, and no second
language that neither the type checker nor the linter reads. A template engine would be one more dependency of a program
that has to run on control-plane nodes, and the pages are mostly figures drawn by code: a template would only call back.

`page` puts a report together; each other module draws one part of it and knows no other part.
"""
