// A page that cannot draw what it was sent says so; the top bar and the way to the other pages stay.
import { Component, type ComponentChildren } from "preact";

interface State {
  problem: string | null;
}

export class Boundary extends Component<{ children: ComponentChildren }, State> {
  override state: State = { problem: null };

  override componentDidCatch(error: unknown): void {
    this.setState({ problem: error instanceof Error ? error.message : String(error) });
  }

  override render({ children }: { children: ComponentChildren }, { problem }: State) {
    if (problem === null) return children;
    return (
      <section class="panel" role="alert">
        <h1 class="answer">This page could not be drawn.</h1>
        <p>The server sent something that the page does not understand: {problem}</p>
        <button type="button" onClick={() => this.setState({ problem: null })}>
          Try again
        </button>
      </section>
    );
  }
}
