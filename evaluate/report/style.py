"""The style sheet: system fonts, one measure of text, a palette that colour-blind readers can tell apart."""

from __future__ import annotations

# Series colours follow Okabe & Ito (2008); in the dark scheme they are lightened. Dashes tell them apart too.
STYLE = """
:root{color-scheme:light dark;
--paper:#fdfdfb;--ink:#1c1d1f;--soft:#5d6268;--faint:#e4e4df;--rule:#b9bbb8;--tint:#f4f4ef;
--s0:#0072b2;--s1:#d55e00;--s2:#009e73;--s3:#b3568a;--s4:#b8860b;--s5:#3b8fc4;--hold:#1c1d1f;--other:#a9adb2;
--shade:0,114,178}
@media (prefers-color-scheme:dark){:root{
--paper:#16181b;--ink:#e6e6e3;--soft:#a2a7ad;--faint:#2b2e33;--rule:#565b61;--tint:#1e2125;
--s0:#56aee2;--s1:#f08a4b;--s2:#3fc79d;--s3:#e09cc4;--s4:#e6c04f;--s5:#9ad4f7;--hold:#e6e6e3;--other:#6d737a;
--shade:86,174,226}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);
font:17px/1.55 Charter,"Bitstream Charter","Sitka Text",Cambria,Georgia,serif}
main{max-width:780px;margin:0 auto;padding:48px 24px 72px}
h1{font-size:2rem;line-height:1.15;font-weight:600;margin:0 0 .2em;letter-spacing:-.01em;text-wrap:balance}
h2{font-size:1.3rem;line-height:1.25;font-weight:600;margin:2.8em 0 .5em}
h3{font-size:1.02rem;font-weight:600;margin:1.8em 0 .3em}
p{margin:.6em 0}
.subtitle{color:var(--soft);margin:0 0 2em}
.found{border-top:2px solid var(--ink);border-bottom:1px solid var(--rule);padding:.3em 0 1em}
.found h2{margin:.7em 0 .3em}
.found p:first-of-type{font-size:1.12rem;line-height:1.45}
.note,figcaption,.caption,.legend,table,svg text,.details,summary{
font-family:system-ui,-apple-system,"Segoe UI",
Roboto,"Helvetica Neue",sans-serif}
.note{font-size:.82rem;line-height:1.5;color:var(--soft)}
figure{margin:1.6em 0}
figcaption{font-size:.82rem;line-height:1.5;color:var(--soft);margin-top:.5em}
figcaption b,.caption b{color:var(--ink);font-weight:600}
svg{display:block;width:100%;height:auto}
svg.narrow{display:none}
.legend{display:flex;flex-wrap:wrap;gap:.15em 1.3em;font-size:.82rem;
list-style:none;margin:0 0 .5em;padding:0}
.legend li{display:flex;align-items:center;gap:.5em}
.legend svg{width:26px;height:10px;flex:none}
.table{margin:1.6em 0}
.scroll{overflow-x:auto;scrollbar-width:thin}
@media (min-width:900px){.scroll{width:max-content;min-width:100%;max-width:calc(100vw - 64px);
position:relative;left:50%;transform:translateX(-50%)}}
.scroll:focus-visible{outline:2px solid var(--s0);outline-offset:2px}
table{border-collapse:collapse;font-size:.82rem;line-height:1.35;width:100%;
font-variant-numeric:tabular-nums lining-nums}
.caption{font-size:.82rem;line-height:1.5;color:var(--soft);margin:0 0 .7em}
th{font-weight:600;text-align:right;vertical-align:bottom;padding:.4em .55em;
border-bottom:1px solid var(--ink);border-top:1px solid var(--ink)}
td{text-align:right;vertical-align:top;padding:.4em .55em;
border-bottom:1px solid var(--faint);white-space:nowrap}
tbody th{text-align:left;vertical-align:top;font-weight:500;border:0;border-bottom:1px solid var(--faint);
white-space:nowrap;background:var(--paper);position:sticky;left:0}
th:first-child,td:first-child{text-align:left;padding-left:0}
td:last-child,th:last-child{padding-right:0}
tr.baseline td,tr.baseline th{color:var(--soft)}
tr.first-baseline td,tr.first-baseline th{border-top:1px solid var(--rule)}
tr.chosen td,tr.chosen th{background:var(--tint);font-weight:600}
tbody tr:last-child td,tbody tr:last-child th{border-bottom:1px solid var(--ink)}
.ci{display:block;font-size:.72rem;color:var(--soft);font-weight:400}
summary{cursor:pointer;font-size:.9rem;color:var(--s0)}
summary:focus-visible{outline:2px solid var(--s0);outline-offset:2px}
td.words,th.words{text-align:left;white-space:normal}
td.words{min-width:5em}td.words+td.words,td.words:last-child{min-width:15em}
.card{max-width:34em}
tr.failed td,tr.failed th{font-weight:600;color:var(--s1)}
tr.period td,tr.period th{color:var(--soft);font-size:.76rem}
.matrices{display:flex;flex-wrap:wrap;gap:1em 1.4em}
.matrix{width:auto;font-size:.74rem;break-inside:avoid}
.matrix caption{text-align:left;color:var(--soft);padding-bottom:.2em;white-space:nowrap}
.matrix th,.matrix td,.matrix tbody tr:last-child th,.matrix tbody tr:last-child td{border:0;
position:static;padding:.28em .4em;min-width:3.3em;text-align:right;font-weight:400}
.matrix th{color:var(--soft);min-width:0}
.matrix td{print-color-adjust:exact;-webkit-print-color-adjust:exact}
.t0{background:rgba(var(--shade),.03)}.t1{background:rgba(var(--shade),.08)}
.t2{background:rgba(var(--shade),.15)}.t3{background:rgba(var(--shade),.22)}
.t4{background:rgba(var(--shade),.29)}.t5{background:rgba(var(--shade),.36)}
.t6{background:rgba(var(--shade),.43)}.t7{background:rgba(var(--shade),.5)}
.t8{background:rgba(var(--shade),.57)}.t9{background:rgba(var(--shade),.64)}
.details{display:grid;grid-template-columns:repeat(auto-fit,minmax(250px,1fr));gap:0 2.4em;font-size:.82rem}
.details h3{font-size:.82rem;margin:1.2em 0 .3em}
.details dl{margin:0;display:grid;grid-template-columns:auto 1fr;gap:.15em 1em}
.details dt{color:var(--soft)}
.details dd{margin:0;text-align:right;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
svg text{font-size:12px;fill:var(--ink)}
svg text.tick{fill:var(--soft)}
svg text.mid{text-anchor:middle}
svg text.end{text-anchor:end}
.grid{stroke:var(--faint);stroke-width:1;fill:none}
.axis,.rule{stroke:var(--rule);stroke-width:1;fill:none}
.ideal{stroke:var(--soft);stroke-width:1;stroke-dasharray:3 3;fill:none}
.line{fill:none;stroke-width:1.6;stroke-linejoin:round}
.s0{stroke:var(--s0)}.s1{stroke:var(--s1)}.s2{stroke:var(--s2)}.s3{stroke:var(--s3)}.s4{stroke:var(--s4)}
.s5{stroke:var(--s5)}.hold{stroke:var(--hold)}.other{stroke:var(--other)}
.line.s1{stroke-dasharray:7 3}.line.s2{stroke-dasharray:2.5 2.5}.line.s3{stroke-dasharray:9 3 2 3}
.line.s4{stroke-dasharray:12 4}.line.s5{stroke-dasharray:4 2}
.line.hold{stroke-width:1.3}.line.other{stroke-width:1}
.line.faint{stroke-width:.9;opacity:.4}.line.thin{stroke-width:1;stroke-dasharray:none;opacity:.6}
.line.even{stroke:var(--ink);stroke-width:1;stroke-dasharray:4 3}
.line.reach{stroke:var(--ink);stroke-width:1;opacity:.6}
.band{stroke:none;opacity:.15}
.band.s0{fill:var(--s0)}.band.s1{fill:var(--s1)}.band.s2{fill:var(--s2)}.band.s3{fill:var(--s3)}
.band.s4{fill:var(--s4)}.band.s5{fill:var(--s5)}
.dot{stroke:none}.dot.s0{fill:var(--s0)}.dot.s1{fill:var(--s1)}.dot.s2{fill:var(--s2)}.dot.s3{fill:var(--s3)}
.dot.s4{fill:var(--s4)}.dot.s5{fill:var(--s5)}.dot.hold{fill:var(--hold)}.dot.other{fill:var(--other)}
.bar{stroke:none}.bar.s0{fill:var(--s0)}.bar.s1{fill:var(--s1)}.bar.s2{fill:var(--s2)}
.bar.s3{fill:var(--s3)}.bar.s4{fill:var(--s4)}.bar.s5{fill:var(--s5)}.bar.hold,.bar.other{fill:var(--other)}
.bar.solid.hold{fill:var(--hold)}
.area{fill:var(--s0);opacity:.18;stroke:none}
.heat{fill:var(--s0);stroke:none}
.h1{opacity:.06}.h2{opacity:.14}.h3{opacity:.23}.h4{opacity:.33}.h5{opacity:.45}.h6{opacity:.6}
.h7{opacity:.78}.h8{opacity:1}
.faded{opacity:.45}
.range{fill:var(--s0);opacity:.28}
.needed{stroke:var(--s1);stroke-width:2.5;fill:none}
.rise{fill:var(--paper);stroke:var(--soft);stroke-width:1}
.fall{fill:var(--soft);stroke:var(--soft);stroke-width:1}
.buy{fill:var(--s0)}.sell{fill:var(--s1)}
.hair{stroke:var(--ink);stroke-width:1;stroke-dasharray:2 3;fill:none}
.lively>svg.wide,.lively>svg.narrow{display:none}
.live svg{touch-action:pan-y;cursor:crosshair;user-select:none;-webkit-user-select:none}
.live svg:focus-visible{outline:2px solid var(--s0);outline-offset:2px}
.tools{display:flex;flex-wrap:wrap;align-items:center;gap:.4em;margin:0 0 .4em;
font:.78rem/1.4 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;color:var(--soft)}
.tools button{font:inherit;color:var(--ink);background:var(--tint);border:1px solid var(--rule);
border-radius:3px;min-width:2.6em;min-height:2.2em;cursor:pointer}
.tools button:focus-visible{outline:2px solid var(--s0);outline-offset:2px}
.tools output{min-height:1.4em;font-variant-numeric:tabular-nums}
@media (max-width:600px){
body{font-size:16px}main{padding:28px 16px 48px}h1{font-size:1.55rem}h2{margin-top:2.2em}
svg.wide{display:none}svg.narrow{display:block}
.found p:first-of-type{font-size:1.05rem}
.tools output{flex-basis:100%;min-height:2.8em}}
@media print{:root{color-scheme:light;
--paper:#fff;--ink:#000;--soft:#444;--faint:#ddd;--rule:#999;--tint:#f2f2f2;
--s0:#0072b2;--s1:#d55e00;--s2:#009e73;--s3:#b3568a;--s4:#b8860b;--s5:#3b8fc4;--hold:#000;--other:#999}
body{font-size:10pt}main{max-width:none;padding:0}
svg.wide,.lively>svg.wide{display:block}svg.narrow,.lively>svg.narrow,.live{display:none}
figure,.table,.found{break-inside:avoid}h2,h3{break-after:avoid}
.scroll{overflow:visible;position:static;transform:none;width:auto}
table,.matrix{font-size:6.8pt}th,td{padding:.3em .35em}.ci{font-size:5.8pt}
table.many{font-size:5.6pt}.many .ci{font-size:5pt}.many th,.many td{padding:.3em .2em}
thead th{overflow-wrap:anywhere}tr{break-inside:avoid}tbody th{position:static;background:none}
tr.period td,tr.period th{font-size:inherit}.details{font-size:8pt}
.caption,figcaption,.note,.legend{font-size:8pt}}
"""
