// A graph as SVG: boxes filled as far as they are finished, arrows as wide as they are many.
import { useMemo } from "preact/hooks";
import { paintOf } from "./colours";
import { bytes, duration, integer, shortName, visible } from "./format";
import type { Placed } from "./graph_view";
import type { Graph, GraphEdge, GraphNode } from "./schema";

export interface GraphProps {
  graph: Graph;
  placed: Placed;
  width: number;
  height: number;
  chosen: string | null;
  expand: string | null;
  label: string;
  onOpen: (node: GraphNode) => void;
}

export const STATE_SIGNS: Record<string, string> = {
  waiting: "…",
  queued: "…",
  "no-worker": "?",
  processing: "▶",
  memory: "✓",
  released: "–",
  forgotten: "–",
  erred: "✕",
};
const LETTER_WIDTH = 7.2;
const SMALL_LETTER_WIDTH = 6.2;

export function GraphDrawing({ graph, placed, width, height, chosen, expand, label, onOpen }: GraphProps) {
  // The same elements again are skipped: moving the drawing costs nothing per box.
  const contents = useMemo(
    () => (
      <>
        {graph.edges.map((edge) => (
          <path
            key={`${edge.from} ${edge.to}`}
            class={edge.critical ? "edge critical" : "edge"}
            d={edgePath(edge)}
            stroke-width={edgeWidth(edge)}
            marker-end="url(#arrow)"
          >
            <title>{`${integer(edge.edges)} ${edge.edges === 1 ? "dependency" : "dependencies"}`}</title>
          </path>
        ))}
        {graph.nodes.map((node) => (
          <Box
            key={node.id}
            node={node}
            title={boxTitle(node, graph)}
            chosen={node.id === chosen || (expand !== null && node.id === `g${expand}`)}
            onOpen={onOpen}
          />
        ))}
      </>
    ),
    [graph, chosen, expand, onOpen],
  );
  return (
    // biome-ignore lint/a11y/useSemanticElements: a drawing of boxes that can be opened, no form.
    <svg width={width} height={height} role="group" aria-label={label}>
      <defs>
        <marker
          id="arrow"
          viewBox="0 0 8 8"
          refX="7"
          refY="4"
          markerWidth="13"
          markerHeight="13"
          markerUnits="userSpaceOnUse"
          orient="auto"
        >
          <path d="M0 0L8 4L0 8Z" class="arrow" />
        </marker>
        <pattern
          id="running"
          width="6"
          height="6"
          patternUnits="userSpaceOnUse"
          patternTransform="rotate(45)"
        >
          <rect width="3" height="6" class="running-stripe" />
        </pattern>
      </defs>
      <g transform={`translate(${placed.x} ${placed.y}) scale(${placed.scale})`}>{contents}</g>
    </svg>
  );
}

export function edgePath(edge: GraphEdge): string {
  return edge.points.map(([x, y], i) => `${i === 0 ? "M" : "L"}${x} ${y}`).join("");
}

export function edgeWidth(edge: GraphEdge): number {
  return (edge.critical ? 2 : 0) + 1 + Math.min(4, Math.log10(Math.max(1, edge.edges)));
}

function Box({
  node,
  title,
  chosen,
  onOpen,
}: {
  node: GraphNode;
  title: string;
  chosen: boolean;
  onOpen: (node: GraphNode) => void;
}) {
  const { x, y, w, h } = node;
  const colour = paintOf(node.color).colour;
  const total = Math.max(1, node.tasks);
  const full = node.open ? 0 : w;
  const done = (node.finished / total) * full;
  const erred = (node.erred / total) * full;
  const running = (node.processing / total) * full;
  const task = node.id.startsWith("t");
  const text = boxText(node);
  const open = () => onOpen(node);
  return (
    // biome-ignore lint/a11y/useSemanticElements: a box of an SVG cannot be a button element.
    <g
      class={`box${node.critical ? " critical" : ""}${chosen ? " chosen" : ""}${erred > w / 2 ? " failed" : ""}`}
      role="button"
      // In lower case: names of attributes of SVG keep their case, and "tabIndex" is none.
      tabindex={0}
      onClick={open}
      onKeyDown={(event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        open();
      }}
    >
      <title>{title}</title>
      <rect class="ground" x={x} y={y} width={w} height={h} rx={5} />
      <rect
        x={x}
        y={y}
        width={task && node.state === "memory" ? w : done}
        height={h}
        rx={5}
        fill={colour}
        fill-opacity={0.38}
      />
      {erred > 0 && <rect class="failed-part" x={x + done} y={y} width={erred} height={h} />}
      {running > 0 && <rect x={x + done + erred} y={y} width={running} height={h} fill="url(#running)" />}
      <rect class="frame" x={x} y={y} width={w} height={h} rx={5} stroke={colour} />
      <text
        x={node.open ? x + 12 : x + w / 2}
        y={node.open ? y + 20 : text.sub ? y + h / 2 - 3 : y + h / 2 + 4}
        text-anchor={node.open ? "start" : "middle"}
        class={task ? "small" : undefined}
      >
        {text.label}
      </text>
      {text.sub && (
        <text x={x + w / 2} y={y + h / 2 + 14} text-anchor="middle" class="sub">
          {text.sub}
        </text>
      )}
    </g>
  );
}

/** What fits into the box: the sign of the state or of the critical path, then as much of the name as there is room. */
export function boxText(node: GraphNode): { label: string; sub: string | null } {
  const task = node.id.startsWith("t");
  const sign = `${node.critical ? "◆ " : ""}${task && node.state ? `${STATE_SIGNS[node.state] ?? ""} ` : ""}${!task && node.erred > 0 ? "✕ " : ""}`;
  // The tasks tell how far an open group is; above them there is one line.
  if (node.open)
    return {
      label: shortName(`${sign}${node.label}  ${node.sub}`, Math.floor((node.w - 10) / LETTER_WIDTH)),
      sub: null,
    };
  const letters = Math.floor((node.w - 10) / (task ? SMALL_LETTER_WIDTH : LETTER_WIDTH)) - sign.length;
  const label = letters >= 3 ? sign + shortName(node.label, letters) : sign.trim();
  return {
    label,
    sub: node.h >= 36 && node.sub ? shortName(node.sub, Math.floor((node.w - 8) / SMALL_LETTER_WIDTH)) : null,
  };
}

/** The name of a group; of a task its key while it runs, else which one of its group it is. */
export function boxName(node: GraphNode, graph: Graph): string {
  if (node.id.startsWith("g")) return node.title ?? node.label;
  return node.key ?? `${graph.expanded ?? "a group"}, task ${node.id.slice(1)}`;
}

export function boxTitle(node: GraphNode, graph: Graph): string {
  const state =
    node.state ??
    `${integer(node.finished)} of ${integer(node.tasks)} done${node.erred ? `, ${integer(node.erred)} failed` : ""}`;
  return `${visible(boxName(node, graph).slice(0, 200))}: ${state}, ${duration(node.seconds)}, ${bytes(node.bytes)}${node.critical ? ", on the critical path" : ""}`;
}
