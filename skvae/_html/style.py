"""How summaries and reports look, in light and dark.

Summaries take the colors of the notebook: text is in the current color, and the two colors of
curves can be told apart on white and on black, also by readers who are color-blind (after
Okabe & Ito 2008).
"""

PARTS = """
.skvae {{ font: 14px/1.45 system-ui, sans-serif; color: inherit; max-width: {width}; }}
.skvae p {{ margin: .4em 0; max-width: 46em; }}
.skvae .skvae-scroll {{ overflow: auto; max-width: 100%; {height}}}
.skvae table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 0; }}
.skvae caption {{ text-align: left; font-weight: 600; padding: .3em 0; white-space: nowrap; }}
.skvae th, .skvae td {{ text-align: left; vertical-align: top; padding: .25em .9em .25em 0;
  border-bottom: 1px solid rgba(128, 128, 128, .35); max-width: 22em; overflow-wrap: break-word;
  font-weight: normal; background: none; color: inherit; white-space: normal; }}
.skvae td {{ min-width: 6.5em; }}
.skvae td:last-child {{ max-width: 34em; }}
.skvae td.skvae-number {{ min-width: 3em; }}
.skvae thead th {{ font-weight: 600; border-bottom-color: currentColor; }}
.skvae tbody th {{ font-weight: 600; min-width: 6em; max-width: 16em; }}
.skvae .skvae-number {{ text-align: right; }}
.skvae td.skvae-number {{ white-space: nowrap; }}
.skvae .skvae-numbers {{ display: flex; flex-wrap: wrap; gap: .6em 2.2em; margin: .6em 0; }}
.skvae dt {{ font-weight: normal; opacity: .8; margin: 0; }}
.skvae dd {{ margin: 0; }}
.skvae dd b {{ font-size: 1.3em; }}
.skvae dd span {{ opacity: .8; }}
.skvae summary {{ cursor: pointer; font-weight: 600; margin: .4em 0; }}
.skvae .skvae-curve {{ display: block; width: 100%; max-width: 560px; height: auto; }}
.skvae .skvae-curve text {{ font: 11px system-ui, sans-serif; fill: currentColor; }}
.skvae .skvae-end {{ text-anchor: end; }}
.skvae .skvae-middle {{ text-anchor: middle; }}
.skvae .skvae-grid {{ stroke: currentColor; stroke-opacity: .2; }}
.skvae .skvae-line1, .skvae .skvae-line2 {{ fill: none; stroke-width: 2; }}
.skvae .skvae-line1 {{ stroke: #0a84c6; }}
.skvae .skvae-line2 {{ stroke: #d55e00; }}
.skvae .skvae-dot1 {{ fill: #0a84c6; }}
.skvae .skvae-dot2 {{ fill: #d55e00; }}
"""

SUMMARY_STYLE = PARTS.format(width="60em", height="max-height: 26em; ")
