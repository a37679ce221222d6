// What a signed-in operator does: signing in, revoking and reinstating, signing out.
// A change needs a key besides the session's cookie, because the cookie goes to every port of the station's host. The key
// is made here at the sign-in, and kept where only pages of this origin read it; the station never sends it to anybody.

const KEY = "birthmark-page-key";
const signIn = document.getElementById("sign-in");
const signOut = document.getElementById("sign-out");
const change = document.getElementById("change");

signIn?.addEventListener("submit", () => {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  const key = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  localStorage.setItem(KEY, key);
  signIn.elements.page_key.value = key;
});

signOut?.addEventListener("submit", () => localStorage.removeItem(KEY));

change?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const said = document.getElementById("change-result");
  const unit = `/api/v1/devices/${encodeURIComponent(change.elements.unit.value.trim())}`;
  said.textContent = "";
  try {
    const answer = await fetch(`${unit}/${event.submitter.value}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "Birthmark-Page-Key": localStorage.getItem(KEY) ?? "" },
      body: JSON.stringify({ reason: change.elements.reason.value }),
    });
    const told = await answer.json();
    said.textContent = answer.ok ? `${told.device_serial}: ${told.state}.` : `${told.detail} ${told.advice}`;
  } catch {
    said.textContent = "The station did not answer; look at the unit below.";
  }
});
if (change) change.hidden = false;
