// The page at /open: takes the link's secret out of the address, where it would stay in the browser's history, and puts
// it into the form. The form's button consumes it.

const link = document.getElementById("link");
const byHand = document.getElementById("by-hand");

function take() {
  if (location.hash.length < 2) return;
  link.value = location.hash.slice(1);
  byHand.hidden = true;
  history.replaceState(null, "", location.pathname);
}

addEventListener("hashchange", take); // another link is pasted over this one
take();
