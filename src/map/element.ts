/** Elements of a drawing. */
import { type Attributes, type ComponentChildren, h, type VNode } from "preact";

/** An SVG element: its attributes by their names in SVG, and `key` where siblings come and go. */
export function element(
  type: string,
  attributes: Readonly<Record<string, unknown>> | null,
  ...children: ComponentChildren[]
): VNode {
  return h(type, attributes as Attributes | null, ...children) as VNode;
}
