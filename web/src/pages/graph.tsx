// Graph: groups (or the tasks of one) as boxes, as the server laid them out. Wheel zooms, drag pans, a click opens.
import { useSignal } from "@preact/signals";
import { useCallback, useEffect, useRef } from "preact/hooks";
import { useView } from "../api";
import { bytes, duration, integer, percent, shortName } from "../format";
import { GraphCanvas } from "../graph_canvas";
import { boxName, GraphDrawing, STATE_SIGNS } from "../graph_svg";
import { type Placed, usePanZoom } from "../graph_view";
import { useKeys } from "../keyboard";
import { Name } from "../name";
import type { Graph as GraphAnswer, GraphNode } from "../schema";
import { useWidth } from "../size";
import { Twin } from "../twin";
import { query, setQuery } from "../url";

/** Above this many boxes the page draws on a canvas: a browser is slow with more elements. */
const MOST_ELEMENTS = 2000;
const TABLE_ROWS = 500;

export function Graph() {
  const expand = query.value.get("expand");
  const graph = useView<GraphAnswer>(
    expand === null ? "graph" : `graph?expand=${encodeURIComponent(expand)}`,
    () => 1000,
  ).value;
  return (
    <section class="panel">
      <h1 class="answer">{answer(graph)}</h1>
      {graph?.note && <p class="quiet">{graph.note}</p>}
      {!graph ? (
        <p class="quiet">Waiting for the first answer.</p>
      ) : graph.nodes.length === 0 ? (
        <p class="quiet">There is no graph to draw: nothing has been submitted yet.</p>
      ) : (
        <Drawing graph={graph} expand={expand} />
      )}
    </section>
  );
}

function Drawing({ graph, expand }: { graph: GraphAnswer; expand: string | null }) {
  const [box, width] = useWidth<HTMLDivElement>();
  const chosen = useSignal<string | null>(query.value.get("task") ? `t${query.value.get("task")}` : null);
  // A small graph needs no large field.
  const height = Math.max(240, Math.min(innerHeight - 300, graph.height * 1.4 + 16));
  const surface = useRef<HTMLDivElement>(null);
  const { placed, move } = usePanZoom(surface, graph, width.value, height, expand);
  useKeys({
    "+": () => move.zoom(1.3),
    "=": () => move.zoom(1.3),
    "-": () => move.zoom(1 / 1.3),
    ArrowLeft: () => move.pan(60, 0),
    ArrowRight: () => move.pan(-60, 0),
    ArrowUp: () => move.pan(0, 60),
    ArrowDown: () => move.pan(0, -60),
    f: () => move.fit(),
    Escape: () => {
      if (chosen.value !== null) chosen.value = null;
      else if (expand !== null) setQuery({ expand: null, task: null });
    },
  });
  const measured = width.value > 0;
  const linked = query.value.get("task");
  useEffect(() => {
    const node = linked === null ? undefined : graph.nodes.find((candidate) => candidate.id === `t${linked}`);
    if (node && measured) move.centre(node.x + node.w / 2, node.y + node.h / 2);
  }, [linked, expand, measured]);
  const open = useCallback(
    (node: GraphNode) => {
      chosen.value = node.id;
      if (node.id.startsWith("g") && String(node.group) !== expand)
        setQuery({ expand: node.group, task: null });
    },
    [chosen, expand],
  );
  const props = {
    graph,
    placed: placed.value as Placed,
    width: width.value,
    height,
    chosen: chosen.value,
    expand,
    label: spoken(graph),
  };
  return (
    <div ref={box}>
      <div class="stream-tools">
        <button type="button" onClick={() => move.fit()} title="show all (f)">
          Fit
        </button>
        <button type="button" onClick={() => move.zoom(1.3)} aria-label="zoom in">
          +
        </button>
        <button type="button" onClick={() => move.zoom(1 / 1.3)} aria-label="zoom out">
          −
        </button>
        {expand !== null && (
          <button type="button" onClick={() => setQuery({ expand: null, task: null })}>
            Close the group
          </button>
        )}
        <span class="quiet">
          ◆ thick line: critical path · filled part: finished · ✕ failed
          {expand === null ? " · a click shows the tasks of a group" : ""}
        </span>
      </div>
      <Twin name="graph" table={() => <NodeTable graph={graph} onOpen={open} />}>
        <div class="graph" ref={surface} style={{ height: `${height}px` }}>
          {graph.nodes.length > MOST_ELEMENTS ? (
            <GraphCanvas {...props} onOpen={open} />
          ) : (
            <GraphDrawing {...props} onOpen={open} />
          )}
        </div>
      </Twin>
      <Detail graph={graph} node={graph.nodes.find((node) => node.id === chosen.value) ?? null} />
    </div>
  );
}

function answer(graph: GraphAnswer | null): string {
  if (!graph) return "Waiting for the first answer of the server.";
  if (graph.nodes.length === 0) return "0 tasks: nothing has been submitted yet.";
  const groups = graph.nodes.filter((node) => node.id.startsWith("g"));
  const critical = groups.filter((node) => node.critical).length;
  const path = critical > 0 ? `; the critical path goes through ${integer(critical)} of them` : "";
  return `${integer(graph.tasks)} tasks, ${integer(groups.length)} ${groups.length === 1 ? "group" : "groups"} drawn${path}${graph.expanded === null ? "" : `; open: ${shortName(graph.expanded, 60)}`}.`;
}

function spoken(graph: GraphAnswer): string {
  const tasks = graph.nodes.reduce((sum, node) => sum + node.tasks, 0);
  const finished = graph.nodes.reduce((sum, node) => sum + node.finished, 0);
  return `Graph of ${integer(graph.nodes.length)} boxes and ${integer(graph.edges.length)} arrows; ${percent(finished / Math.max(1, tasks))} of the tasks shown are finished.`;
}

function Detail({ graph, node }: { graph: GraphAnswer; node: GraphNode | null }) {
  if (!node) return null;
  return (
    <p>
      <Name text={boxName(node, graph)} length={80} />:{" "}
      {node.state
        ? `${STATE_SIGNS[node.state] ?? ""} ${node.state}`
        : `${integer(node.finished)} of ${integer(node.tasks)} done`}
      , {duration(node.seconds)} of run time, {bytes(node.bytes)} of output
      {node.critical ? ", ◆ on the critical path" : ""}.
    </p>
  );
}

function NodeTable({ graph, onOpen }: { graph: GraphAnswer; onOpen: (node: GraphNode) => void }) {
  const { nodes } = graph;
  return (
    <>
      <table>
        <thead>
          <tr>
            {["name", "state", "done", "failed", "time", "output", "critical path"].map((title) => (
              <th key={title} scope="col">
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {nodes.slice(0, TABLE_ROWS).map((node) => (
            <tr key={node.id}>
              <th scope="row">
                <button type="button" class="link" onClick={() => onOpen(node)}>
                  {shortName(boxName(node, graph), 60)}
                </button>
              </th>
              <td>{node.state ?? "–"}</td>
              <td class="number">
                {integer(node.finished)} / {integer(node.tasks)}
              </td>
              <td class="number">{integer(node.erred)}</td>
              <td class="number">{duration(node.seconds)}</td>
              <td class="number">{bytes(node.bytes)}</td>
              <td>{node.critical ? "◆ yes" : "no"}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {nodes.length > TABLE_ROWS && <p class="quiet">and {integer(nodes.length - TABLE_ROWS)} more boxes</p>}
    </>
  );
}
