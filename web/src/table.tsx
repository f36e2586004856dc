// Tables that sort by a click on a head, and that draw only the rows in sight when there are thousands.
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

export interface Column<T> {
  title: string;
  value: (row: T) => number | string | null;
  cell: (row: T) => ComponentChildren;
  class?: string;
}

interface Order {
  column: number;
  down: boolean;
}

export function SortableTable<T>({
  columns,
  rows,
  id,
}: {
  columns: Column<T>[];
  rows: T[];
  id: (row: T) => number;
}) {
  const order = useSignal<Order | null>(null);
  return (
    <div class="table-box">
      <table class="sortable">
        <Head
          columns={columns}
          order={order.value}
          onOrder={(next) => {
            order.value = next;
          }}
        />
        <tbody>
          {sorted(rows, columns, order.value).map((row) => (
            <Row key={id(row)} row={row} columns={columns} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** As SortableTable, for rows of one height: those out of sight are two tall empty rows. */
export function VirtualTable<T>({
  columns,
  rows,
  id,
  rowHeight,
}: {
  columns: Column<T>[];
  rows: T[];
  id: (row: T) => number;
  rowHeight: number;
}) {
  const order = useSignal<Order | null>(null);
  const box = useRef<HTMLElement>(null);
  const first = useSignal(0);
  const count = useSignal(40);
  useEffect(() => {
    const node = box.current;
    if (!node) return;
    const look = () => {
      first.value = Math.max(0, Math.floor(node.scrollTop / rowHeight) - 10);
      count.value = Math.ceil(node.clientHeight / rowHeight) + 20;
    };
    look();
    node.addEventListener("scroll", look, { passive: true });
    addEventListener("resize", look);
    return () => {
      node.removeEventListener("scroll", look);
      removeEventListener("resize", look);
    };
  }, [first, count, rowHeight]);
  const list = sorted(rows, columns, order.value);
  const begin = Math.min(first.value, Math.max(0, list.length - count.value));
  const end = Math.min(list.length, begin + count.value);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reached with the keyboard.
    <section class="table-box scroll" ref={box} tabIndex={0} aria-label="table, scrolls">
      <table class="sortable fixed-rows" aria-rowcount={list.length + 1}>
        <Head
          columns={columns}
          order={order.value}
          onOrder={(next) => {
            order.value = next;
          }}
        />
        <tbody>
          <Space height={begin * rowHeight} columns={columns.length} />
          {list.slice(begin, end).map((row, i) => (
            <Row key={id(row)} row={row} columns={columns} index={begin + i + 2} />
          ))}
          <Space height={(list.length - end) * rowHeight} columns={columns.length} />
        </tbody>
      </table>
    </section>
  );
}

function Space({ height, columns }: { height: number; columns: number }) {
  if (height <= 0) return null;
  return (
    <tr class="filler">
      <td colSpan={columns} class="space" style={{ height: `${height}px` }} />
    </tr>
  );
}

function Row<T>({ row, columns, index }: { row: T; columns: Column<T>[]; index?: number }) {
  return (
    <tr aria-rowindex={index}>
      {columns.map((column) => (
        <td key={column.title} class={column.class}>
          {column.cell(row)}
        </td>
      ))}
    </tr>
  );
}

function Head<T>({
  columns,
  order,
  onOrder,
}: {
  columns: Column<T>[];
  order: Order | null;
  onOrder: (next: Order | null) => void;
}) {
  return (
    <thead>
      <tr>
        {columns.map((column, i) => {
          const mine = order?.column === i ? order : null;
          return (
            <th
              key={column.title}
              scope="col"
              class={column.class}
              aria-sort={mine ? (mine.down ? "descending" : "ascending") : "none"}
            >
              <button type="button" class="head" onClick={() => onOrder(nextOrder(mine, i))}>
                {column.title}
                <span aria-hidden="true">{mine ? (mine.down ? " ▼" : " ▲") : ""}</span>
              </button>
            </th>
          );
        })}
      </tr>
    </thead>
  );
}

/** Largest first, then smallest first, then as the server had it. */
function nextOrder(mine: Order | null, column: number): Order | null {
  if (!mine) return { column, down: true };
  return mine.down ? { column, down: false } : null;
}

/** Rows whose value is not known stay at the end, whichever way the others go. */
export function sorted<T>(rows: T[], columns: Pick<Column<T>, "value">[], order: Order | null): T[] {
  const column = order ? columns[order.column] : undefined;
  if (!order || !column) return rows;
  const sign = order.down ? -1 : 1;
  return [...rows].sort((a, b) => {
    const [one, other] = [column.value(a), column.value(b)];
    if (one === null || other === null) return Number(one === null) - Number(other === null);
    return (one < other ? -1 : one > other ? 1 : 0) * sign;
  });
}
