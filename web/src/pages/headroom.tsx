export function Headroom() {
  return <section class="panel" />;
}
