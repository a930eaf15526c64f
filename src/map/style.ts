/**
 * How a drawing of a map looks, in a file of its own and in a page: colours of both schemes, and the type. Text
 * on any of the fills has a contrast of 4.5 and more.
 */

/** Hue of a RAM block, degrees. */
const HUE_DEGREES = [212, 38, 152, 282, 12, 186] as const;

function hues(fill: (degrees: number) => string): string {
  return HUE_DEGREES.map((degrees, index) => `--hue${index}:${fill(degrees)};`).join("");
}

const LIGHT = `color-scheme:light;--paper:#fcfbf8;--ink:#1c2024;--quiet:#666c72;--line:#dcd8ce;--edge:#8b9197;
--hatch:#1c202455;--dot:#1c202480;--heat:#b3341c;${hues((degrees) => `hsl(${degrees} 48% 86%)`)}`;

const DARK = `color-scheme:dark;--paper:#131619;--ink:#e9e6df;--quiet:#989ea5;--line:#2d3237;--edge:#737a82;
--hatch:#e9e6df4d;--dot:#e9e6df80;--heat:#ff8a6b;${hues((degrees) => `hsl(${degrees} 28% 27%)`)}`;

/** The names of the colours, on the root element. */
export const COLOURS = `:root{${LIGHT}}@media(prefers-color-scheme:dark){:root{${DARK}}}`;

export const DRAWING = `
.map text{font:11px "IBM Plex Mono",ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:var(--ink)}
.map .quiet{fill:var(--quiet)}
.map .box .quiet{fill:var(--ink);fill-opacity:.72}
.map .strong{font-weight:600}
.map .title{font-size:14px;font-weight:600}
.map .end{text-anchor:end}
.map .middle{text-anchor:middle}
.map .fill{fill:var(--fill,none);stroke:var(--edge);stroke-width:.75}
.map .box text{paint-order:stroke;stroke:var(--fill,none);stroke-width:4px;stroke-linejoin:round}
.map .mmio .fill{stroke-dasharray:3 2.5}
.map .hole{fill:none;stroke:var(--line);stroke-dasharray:2 3}
.map .hatch{stroke:var(--hatch);stroke-width:1;fill:none}
.map .dot{fill:var(--dot)}
.map .heat rect{fill:var(--heat)}
.map .ribbons path{fill:var(--fill);fill-opacity:.5}
${HUE_DEGREES.map((_, index) => `.map .hue${index}{--fill:var(--hue${index})}`).join("\n")}`;
