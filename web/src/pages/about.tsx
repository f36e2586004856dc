export function About() {
  return <section class="panel" />;
}
