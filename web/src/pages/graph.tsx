export function Graph() {
  return <section class="panel" />;
}
