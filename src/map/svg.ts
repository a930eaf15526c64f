/** A map as an SVG file: guest memory at the left, RAM blocks at the right, for both colour schemes. */
import type { VNode } from "preact";
import { renderToString } from "preact-render-to-string";
import { printable } from "../trace/printable.js";
import {
  blockFolds,
  type Column,
  endOf,
  guestColumn,
  guestFold,
  hostColumn,
  patterns,
  ribbons,
} from "./drawing.js";
import { element } from "./element.js";
import type { MemoryMap } from "./memorymap.js";
import { pageOf } from "./page.js";
import { COLOURS, DRAWING } from "./style.js";
import { summary } from "./text.js";

const WIDTH = 800;
const GUEST: Column = { x: 118, width: 262 };
const BLOCKS: Column = { x: 560, width: 130 };
const AXIS = GUEST.x - 8;
const OFFSETS = BLOCKS.x + BLOCKS.width + 8;
const MARGIN = 24;
const HEAD = 84;

export function mapSvg(map: MemoryMap): string {
  let at = HEAD;
  const page = pageOf(map);
  const spaces = page.spaces.flatMap(({ asId, boxes: mappings }) => {
    const titled = page.spaces.length > 1;
    const guest = guestFold(mappings, at + (titled ? 20 : 0));
    const blocks = blockFolds(mappings, at);
    at = Math.max(guest.end, endOf(blocks)) + MARGIN;
    return [
      titled &&
        element("text", { x: GUEST.x, y: guest.pieces[0]?.at ?? at, dy: -8 }, `address space ${asId}`),
      ribbons(mappings, guest, blocks, GUEST.x + GUEST.width, BLOCKS.x),
      hostColumn(blocks, BLOCKS, OFFSETS),
      guestColumn({ fold: guest, mappings, blocks, column: GUEST, axis: AXIS }),
    ];
  });
  const height = at + 12 + 18 * page.remarks.length;
  const title = printable(map.title);
  const drawing = element(
    "svg",
    {
      xmlns: "http://www.w3.org/2000/svg",
      viewBox: `0 0 ${WIDTH} ${height}`,
      width: WIDTH,
      height,
      class: "map",
      role: "img",
    },
    [
      element("title", null, `${title}: ${summary(map)}`),
      element("style", { dangerouslySetInnerHTML: { __html: COLOURS + DRAWING } }),
      patterns(),
      element("rect", { width: WIDTH, height, rx: 6, style: "fill:var(--paper)" }),
      element("text", { x: MARGIN, y: 32, class: "title" }, title),
      element(
        "text",
        { x: MARGIN, y: 50, class: "quiet" },
        `${summary(map)}. Heights: logarithm of the size.`,
      ),
      ...heads(),
      ...spaces,
      ...page.remarks.map((remark, i) =>
        element("text", { x: GUEST.x, y: height - 16 - 18 * (i + 1), class: "quiet" }, remark),
      ),
      legend(height - 16),
    ],
  );
  return `${renderToString(drawing)}\n`;
}

function heads(): VNode[] {
  return [
    element("text", { x: GUEST.x, y: HEAD - 10, class: "quiet" }, "guest memory"),
    element("text", { x: BLOCKS.x, y: HEAD - 10, class: "quiet" }, "host memory"),
  ];
}

/** What the patterns mean. */
function legend(y: number): VNode {
  const entries = [
    ["url(#readonly)", "READONLY", ""],
    ["url(#log)", "LOG_DIRTY_PAGES", ""],
    ["none", "MMIO", "3 2.5"],
  ] as const;
  return element(
    "g",
    null,
    entries.map(([fill, name, dashes], index) =>
      element("g", { key: name }, [
        element("rect", {
          x: GUEST.x + index * 140,
          y: y - 11,
          width: 22,
          height: 13,
          fill,
          style: `stroke:var(--edge);stroke-width:.75;stroke-dasharray:${dashes}`,
        }),
        element("text", { x: GUEST.x + index * 140 + 29, y, class: "quiet" }, name),
      ]),
    ),
  );
}
