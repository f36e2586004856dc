// A graph of thousands of boxes on a canvas: only what is in sight is drawn, names only where they can be read.
import { useEffect, useRef } from "preact/hooks";
import { paintOf } from "./colours";
import { boxText, boxTitle, edgeWidth, type GraphProps } from "./graph_svg";
import { sharpContext } from "./size";
import { dark, themeColour } from "./theme";

const READABLE = 0.6;

export function GraphCanvas({ graph, placed, width, height, chosen, expand, label, onOpen }: GraphProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const target = canvas.current && sharpContext(canvas.current, width, height);
    if (target) draw(target.context, target.ratio, { graph, placed, width, height, chosen, expand });
  }, [graph, placed, width, height, chosen, expand, dark.value]);
  const hitBy = (event: MouseEvent) => {
    const frame = (event.currentTarget as Element).getBoundingClientRect();
    const x = (event.clientX - frame.left - placed.x) / placed.scale;
    const y = (event.clientY - frame.top - placed.y) / placed.scale;
    return graph.nodes.findLast(
      (node) => x >= node.x && x <= node.x + node.w && y >= node.y && y <= node.y + node.h,
    );
  };
  const click = (event: MouseEvent) => {
    const hit = hitBy(event);
    if (hit) onOpen(hit);
  };
  const tell = (event: MouseEvent) => {
    const hit = hitBy(event);
    if (canvas.current) canvas.current.title = hit ? boxTitle(hit, graph) : "";
  };
  // With the keyboard, boxes are opened from the table.
  return <canvas ref={canvas} role="img" aria-label={label} onClick={click} onMouseMove={tell} />;
}

function draw(
  context: CanvasRenderingContext2D,
  ratio: number,
  props: Omit<GraphProps, "label" | "onOpen">,
): void {
  const { graph, placed, width, height, chosen, expand } = props;
  // Asking for a style is slow, so it is asked for once.
  const ink = themeColour("ink");
  const ground = themeColour("panel");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.fillStyle = themeColour("plot");
  context.fillRect(0, 0, width * ratio, height * ratio);
  context.setTransform(placed.scale * ratio, 0, 0, placed.scale * ratio, placed.x * ratio, placed.y * ratio);
  const left = -placed.x / placed.scale;
  const top = -placed.y / placed.scale;
  const [right, bottom] = [left + width / placed.scale, top + height / placed.scale];
  context.strokeStyle = themeColour("quiet");
  for (const edge of graph.edges) {
    context.lineWidth = edgeWidth(edge);
    context.globalAlpha = edge.critical ? 1 : 0.5;
    context.beginPath();
    edge.points.forEach(([x, y], i) => {
      if (i === 0) context.moveTo(x, y);
      else context.lineTo(x, y);
    });
    context.stroke();
  }
  context.globalAlpha = 1;
  context.font = "11px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (const node of graph.nodes) {
    if (node.x > right || node.y > bottom || node.x + node.w < left || node.y + node.h < top) continue;
    const colour = paintOf(node.color).colour;
    const done = node.open ? 0 : node.state === "memory" ? 1 : node.finished / Math.max(1, node.tasks);
    const erred = node.open ? 0 : node.erred / Math.max(1, node.tasks);
    context.fillStyle = ground;
    context.fillRect(node.x, node.y, node.w, node.h);
    context.globalAlpha = 0.38;
    context.fillStyle = colour;
    context.fillRect(node.x, node.y, node.w * done, node.h);
    context.globalAlpha = 1;
    context.fillStyle = "#000";
    context.fillRect(node.x + node.w * done, node.y, node.w * erred, node.h);
    const marked = node.critical || node.id === chosen || node.id === `g${expand}`;
    context.strokeStyle = marked ? ink : colour;
    context.lineWidth = marked ? 3 : 1;
    context.strokeRect(node.x, node.y, node.w, node.h);
    if (placed.scale < READABLE) continue;
    context.fillStyle = erred > 0.5 ? "#fff" : ink;
    context.textAlign = node.open ? "left" : "center";
    const x = node.open ? node.x + 12 : node.x + node.w / 2;
    context.fillText(boxText(node).label, x, node.open ? node.y + 15 : node.y + node.h / 2);
  }
}
