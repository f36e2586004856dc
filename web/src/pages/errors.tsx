export function Errors() {
  return <section class="panel" />;
}
