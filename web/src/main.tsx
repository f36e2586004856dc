// Starts the page.
import { render } from "preact";
import { App } from "./app";
import { listenToKeys } from "./keyboard";
import "./style.css";
import { watchHistory } from "./url";

watchHistory();
listenToKeys();
const root = document.getElementById("app");
if (root) render(<App />, root);
