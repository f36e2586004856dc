// A name from the user's program: always text, cut to its place, whole in the tooltip.
import { shortName, visible } from "./format";

const LONGEST_TITLE = 1000;

export function Name({ text, length = 80 }: { text: string | null | undefined; length?: number }) {
  const title = visible((text ?? "").slice(0, LONGEST_TITLE));
  return (
    <bdi class="name" title={title}>
      {shortName(text, length)}
    </bdi>
  );
}
