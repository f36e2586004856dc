// Keeps the page up to date. The fragment comes from the cluster, which has escaped all names.
"use strict";
// The token was taken into a cookie: it need not stand in the address bar and the history.
const address = new URL(location.href);
if (address.searchParams.has("token")) {
  address.searchParams.delete("token");
  history.replaceState(null, "", address);
}
const main = document.querySelector("main");
const connection = document.querySelector("#connection");
async function update() {
  if (!document.hidden) {
    try {
      const answer = await fetch("./fragment", { cache: "no-store" });
      if (!answer.ok) throw new Error(answer.status);
      main.innerHTML = await answer.text();
      connection.textContent = "live";
    } catch {
      connection.textContent = "The cluster does not answer: it has ended, or the link is an old one.";
    }
  }
  setTimeout(update, 1000);
}
update();
