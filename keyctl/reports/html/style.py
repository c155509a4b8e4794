"""How a page looks: one style sheet, for wide and narrow screens, by day and by night, and on paper."""

from __future__ import annotations

from keyctl.reports.html.palette import variables

_COLOURS = (
    f":root{{color-scheme:light dark;{variables(dark=False)}}}\n"
    f"@media (prefers-color-scheme:dark){{:root{{{variables(dark=True)}}}}}\n"
)

_PAGE = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0 auto;max-width:72rem;padding:1.5rem 1.25rem 3rem;background:var(--page);color:var(--text);
font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif;overflow-wrap:anywhere}
h1{font-size:1.5rem;line-height:1.3;margin:.25rem 0 .75rem}
h2{font-size:1.25rem;line-height:1.3;margin:0 0 .5rem}
h3{font-size:1.05rem;margin:1.5rem 0 .5rem}
h4{font-size:1rem;margin:0 0 .25rem}
p,ul,ol{margin:.25rem 0 .75rem}
ul,ol{padding-left:1.4rem}
section{margin:2.25rem 0 0;padding:1.25rem 0 0;border-top:1px solid var(--line)}
a{color:var(--good)}
:focus-visible{outline:3px solid var(--good);outline-offset:2px}
code,.name,.hash,td.name{font-family:ui-monospace,SFMono-Regular,Menlo,"Liberation Mono",monospace;font-size:.92em}
bdi,code{unicode-bidi:isolate}
.skip{position:absolute;left:-100rem}
.skip:focus{left:1rem;top:1rem;background:var(--page);padding:.5rem}
.kicker,.aside,caption,figcaption,footer{color:var(--muted)}
.kicker{margin:0;letter-spacing:.02em}
nav ul{list-style:none;padding:0;margin:1rem 0 0;display:flex;flex-wrap:wrap;gap:.25rem 1.25rem}
footer{margin-top:2.5rem;border-top:1px solid var(--line);padding-top:1rem;font-size:.9rem}
"""

_VERDICT = """
.verdict{border-left:.5rem solid var(--muted);padding:.75rem 1rem;background:var(--panel)}
.verdict.good{border-color:var(--good)}
.verdict.warn{border-color:var(--warn)}
.verdict.bad{border-color:var(--bad)}
.mark{font-weight:600;white-space:nowrap}
.tiles .mark{white-space:normal}
.mark.good{color:var(--good)}
.mark.warn{color:var(--warn)}
.mark.bad{color:var(--bad)}
.mark.open{color:var(--open)}
.mark.quiet{color:var(--muted);font-weight:400}
.tiles{list-style:none;margin:1rem 0 0;padding:0;display:grid;gap:.6rem;
grid-template-columns:repeat(auto-fill,minmax(8.5rem,1fr))}
.tiles li{border:1px solid var(--line);padding:.5rem .75rem;background:var(--page)}
.tiles strong{display:block;font-size:1.5rem;line-height:1.2;font-variant-numeric:tabular-nums}
.facts{display:grid;grid-template-columns:fit-content(14rem) minmax(0,1fr);gap:.2rem 1rem;margin:.75rem 0}
.facts dt{color:var(--muted)}
.facts dd{margin:0;min-width:0}
.steps code{display:inline;font-weight:600}
"""

_TABLES = """
.scroll{overflow-x:auto;margin:.5rem 0 1rem}
table{border-collapse:collapse;min-width:min(100%,24rem);font-size:.95rem}
caption{text-align:left;padding:0 0 .35rem;font-size:.95rem}
caption span{position:sticky;left:0;display:inline-block;max-width:min(69rem,calc(100vw - 2.5rem))}
th,td{border:1px solid var(--line);padding:.35rem .6rem;text-align:left;vertical-align:top;overflow-wrap:break-word}
th .name,td .name{overflow-wrap:anywhere}
thead th{background:var(--panel);vertical-align:bottom}
tbody th{font-weight:400}
.long{min-width:9rem}
.longer{min-width:16rem}
.hash{white-space:nowrap}
p .hash{white-space:normal}
.grid thead .name{display:inline-block;min-width:6.5rem}
.grid tbody th{min-width:8rem;position:sticky;left:0}
.count{text-align:right;font-variant-numeric:tabular-nums;overflow-wrap:normal}
.grid tbody th{background:var(--panel)}
.grid .part{display:block;font-size:.85rem;color:var(--text)}
.grid .nothing{color:var(--muted)}
.shade-1{background:var(--shade-1)}
.shade-2{background:var(--shade-2)}
.shade-3{background:var(--shade-3)}
.shade-4{background:var(--shade-4)}
.is-warn{background:var(--warn-ground);border:2px dashed var(--warn)}
.is-bad{background:var(--bad-ground);border:3px double var(--bad)}
.is-open{background:var(--open-ground);border:2px dotted var(--open)}
.is-warn,.is-bad,.is-open{font-weight:600}
.pair{display:inline-block;min-width:1.7em;text-align:center;border:1px solid var(--edge);margin-right:.4em;
font-weight:600}
"""

_FINDINGS = """
.finding{border:1px solid var(--line);border-left:.35rem solid var(--muted);padding:.6rem .9rem;margin:0 0 .8rem}
.finding.bad{border-left-color:var(--bad);border-left-style:double}
.finding.warn{border-left-color:var(--warn);border-left-style:dashed}
.finding.open{border-left-color:var(--open);border-left-style:dotted}
.finding.good{border-left-color:var(--good)}
.finding p{margin:.15rem 0 .3rem}
.finding ul{margin:.15rem 0 .4rem}
.finding .fix{background:var(--panel);padding:.35rem .6rem}
.title{font-weight:400}
details{margin:.4rem 0}
summary{cursor:pointer;padding:.25rem 0}
.told td,.told th{border:0;border-bottom:1px solid var(--line)}
"""

_LANES = """
.lanes{margin:.5rem 0 1rem;padding:0 .75rem}
.lane{margin:.6rem 0}
.lane p{margin:0}
.lane svg,.axis svg{display:block;width:100%;overflow:visible}
.lane svg{height:2.1rem}
.patterns{position:absolute}
svg text{fill:var(--text);font-size:.85rem;font-weight:600}
svg .proof{stroke:var(--text);stroke-width:1;stroke-dasharray:2 3}
svg .knob{fill:var(--page);stroke:var(--text);stroke-width:1.5}
svg .frame{fill:var(--panel);stroke:var(--line)}
.stage{stroke:var(--edge);stroke-width:1}
.stage-0{fill:var(--page)}
.stage-1{fill:var(--shade-2)}
.stage-2{fill:var(--shade-4)}
.stage-3{fill:var(--good)}
.stage-3+text{fill:var(--page)}
.stage-unknown{fill:var(--open-ground)}
.waiting{fill:url(#hatch);stroke:var(--edge)}
.hatch-line{stroke:var(--warn);stroke-width:2.5}
.hatch-ground{fill:var(--warn-ground)}
.legend{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:.25rem 1.25rem}
.legend svg{width:2rem;height:1.2rem;vertical-align:middle;margin-right:.4rem;overflow:visible}
.track{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:.35rem}
.track li{border:1px solid var(--line);padding:.15rem .55rem}
.track .done{background:var(--shade-2)}
.track .now{border:2px solid var(--warn);background:var(--warn-ground);font-weight:600}
.track .later{color:var(--muted)}
.bar{width:100%;height:1.4rem;display:block}
.bar .full{fill:var(--good)}
.bar .rest{fill:url(#hatch);stroke:var(--warn)}
"""

_NARROW = """
@media (max-width:40rem){
body{padding:1rem .8rem 2rem}
h1{font-size:1.25rem}
.facts{grid-template-columns:minmax(0,1fr);gap:0}
.facts dd{margin:0 0 .45rem}
.tiles{grid-template-columns:repeat(2,minmax(0,1fr))}
th,td{padding:.3rem .4rem}
.grid{font-size:.88rem}
.grid tbody th{min-width:6.5rem}
.grid thead .name{min-width:4.6rem}
.longer{min-width:12rem}
.finding{padding:.5rem .6rem}
}
"""

_PRINT = f"""
@media print{{
:root{{color-scheme:light;{variables(dark=False)}}}
*{{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
body{{max-width:none;padding:0;font-size:10pt}}
nav,.skip{{display:none}}
.scroll{{overflow:visible}}
tr,.finding,.lane,.tiles li{{break-inside:avoid}}
h2,h3,h4{{break-after:avoid}}
thead{{display:table-header-group}}
details::details-content{{content-visibility:visible;block-size:auto;height:auto}}
}}
"""

STYLE = _COLOURS + _PAGE + _VERDICT + _TABLES + _FINDINGS + _LANES + _NARROW + _PRINT
