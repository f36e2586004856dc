// A picture and its twin: every drawing can be read as a table instead.
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";

export function Twin({
  name,
  table,
  children,
}: {
  name: string;
  table: () => ComponentChildren;
  children: ComponentChildren;
}) {
  const open = useSignal(false);
  return (
    <>
      {children}
      <button
        type="button"
        class="link"
        aria-expanded={open.value}
        onClick={() => {
          open.value = !open.value;
        }}
      >
        {open.value ? "Hide the table" : "View as table"}
        <span class="for-readers">: {name}</span>
      </button>
      {open.value && <div class="table-box twin">{table()}</div>}
    </>
  );
}
