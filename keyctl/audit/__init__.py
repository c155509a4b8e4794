"""The compliance check: facts with evidence, checks that judge them, profiles that choose, waivers."""
