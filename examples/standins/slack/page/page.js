"use strict";
// One person's Slack. The state is asked for twice a second and drawn when it is another one.

const at = (id) => document.getElementById(id);
const page = { user: null, channel: null, tab: "messages", state: null, drawn: "", hint: -1 };

const HINTS = [
  ["/bobby status", "all environments, who has which"],
  ["/bobby lock dev-01 for 4h -- why", "take one; “any” takes a free one"],
  ["/bobby mine", "what is yours"],
  ["/bobby extend dev-01 for 2h", "keep it longer"],
  ["/bobby preserve dev-01 tonight -- why", "the night leaves it alone"],
  ["/bobby unpreserve dev-01", "the night may have it again"],
  ["/bobby release dev-01", "give it back"],
  ["/bobby poke dev-01", "ask who has it"],
  ["/bobby queue dev-01", "wait for it"],
  ["/bobby deploy dev-01 main", "deploy a revision to it"],
  ["/bobby help", "everything else"],
];

async function call(path, body) {
  const init = body ? { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) } : {};
  const answer = await fetch(`/_/${path}`, init);
  return answer.json();
}

async function refresh() {
  const query = page.user ? `?user=${page.user}` : "";
  const state = await call(`state${query}`).catch(() => null);
  document.body.classList.toggle("away", !state);
  if (!state) return;
  page.user = state.user;
  page.state = state;
  // Somebody else has a conversation of their own with the app.
  const there = state.channels.some((each) => each.id === page.channel);
  if (page.channel && !there) page.channel = state.conversation;
  if (!page.channel) page.channel = state.channels.find((each) => each.is_channel).id;
  draw();
}

function names() {
  const found = {};
  for (const each of page.state.people) found[each.id] = each.real_name;
  for (const each of page.state.channels) found[each.id] = each.name;
  return found;
}

function draw() {
  const key = JSON.stringify([page.user, page.channel, page.tab, page.state]);
  if (key === page.drawn) return;
  const moved = page.place !== `${page.user} ${page.channel} ${page.tab}`;
  page.place = `${page.user} ${page.channel} ${page.tab}`;
  page.drawn = key;
  sidebar();
  const app = page.channel === page.state.conversation;
  const channel = page.state.channels.find((each) => each.id === page.channel);
  document.querySelector("#title h1").textContent = app ? "Bobby" : `# ${channel.name}`;
  at("tabs").innerHTML = app ? ["home", "messages"].map((tab) =>
    `<button role="tab" aria-selected="${tab === page.tab}" data-tab="${tab}">${tab === "home" ? "Home" : "Messages"}</button>`
  ).join("") : "";
  const home = app && page.tab === "home";
  at("say").hidden = home;
  at("text").placeholder = app ? "Message Bobby, or / for a command" : `Message #${channel.name}, or / for a command`;
  const feed = at("feed");
  const low = feed.scrollHeight - feed.scrollTop - feed.clientHeight < 80;
  feed.className = home ? "home" : "";
  feed.innerHTML = home ? homeTab() : messages();
  if (!home && (low || moved)) feed.scrollTop = feed.scrollHeight;
  if (home && moved) feed.scrollTop = 0;
  dialog();
}

function sidebar() {
  const { people, channels, conversation } = page.state;
  const handles = people.filter((each) => !each.bot);
  const twins = (who) => handles.filter((each) => each.real_name === who.real_name).length > 1;
  const options = handles.map((each) => {
    const label = twins(each) ? `${each.real_name} (@${each.name})` : each.real_name;
    return `<option value="${each.id}"${each.id === page.user ? " selected" : ""}>${html(label)}</option>`;
  });
  if (document.activeElement !== at("me")) at("me").innerHTML = options.join("");
  const entry = (id, label) =>
    `<li><button data-channel="${id}" aria-current="${id === page.channel}">${label}${unread(id)}</button></li>`;
  at("channels").innerHTML = channels.filter((each) => each.is_channel)
    .map((each) => entry(each.id, `<span>#</span>${html(each.name)}`)).join("");
  at("apps").innerHTML = entry(conversation, "<span>🤖</span>Bobby");
}

// What was read is remembered for each person while the page is open.
const read = {};
function unread(channel) {
  const key = `${page.user} ${channel}`;
  const count = page.state.messages.filter((each) => each.channel === channel && each.user !== page.user).length;
  if (channel === page.channel && (page.tab === "messages" || channel !== page.state.conversation)) read[key] = count;
  const waiting = count - (read[key] || 0);
  return waiting > 0 ? `<i>${waiting}</i>` : "";
}

const COLOURS = ["#c2544d", "#3f7d58", "#4a6fa5", "#8a5a9e", "#b5803a"];
function colour(id) {
  return COLOURS[[...id].reduce((sum, each) => sum + each.charCodeAt(0), 0) % COLOURS.length];
}

function messages() {
  const shown = page.state.messages.filter((each) => each.channel === page.channel);
  if (!shown.length) return `<p class="empty">Nothing was said here yet. Try <code>/bobby status</code>.</p>`;
  const known = Object.fromEntries(page.state.people.map((each) => [each.id, each]));
  return shown.map((message) => {
    const bot = message.bot_id || message.user === "USLACKBOT";
    const who = message.user === "USLACKBOT" ? "Slackbot" : known[message.user].real_name;
    const where = { channel: message.channel, ts: message.ts };
    const own = message.only && message.user === page.user;
    const said = message.blocks ? blocks(message.blocks, where, names()) : mrkdwn(message.text, names());
    const face = bot ? `<span class="face bot">${who === "Slackbot" ? "💬" : "🤖"}</span>`
      : `<span class="face" style="background:${colour(message.user)}">${html(who[0])}</span>`;
    const time = new Date(Number(message.ts) * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    const small = [bot ? `<span class="app">APP</span>` : "", `<time>${time}</time>`,
      message.edited ? "<small>(edited)</small>" : ""].join("");
    const only = message.only ? `<div class="only">${own ? "What you typed. " : ""}Only visible to you</div>` : "";
    return `<article id="p${message.ts.replace(".", "")}" class="${message.only ? "private" : ""}">${face}` +
      `<div class="said">${only}<div class="who"><b>${html(who)}</b>${small}</div><div class="body">${said}</div></div></article>`;
  }).join("");
}

function homeTab() {
  const home = page.state.home;
  if (!home) return `<p class="empty">Bobby is asked what to show …</p>`;
  return `<div class="view">${blocks(home.blocks, { view: home.id }, names())}</div>`;
}

function dialog() {
  const [open] = page.state.dialogs;
  const shown = at("dialog");
  if (!open) { shown.close(); shown.dataset.view = ""; return; }
  if (shown.dataset.view === open.id) return;
  shown.dataset.view = open.id;
  const close = open.close ? textOf(open.close, {}) : "Cancel";
  const submit = open.submit ? `<button class="button primary">${textOf(open.submit, {})}</button>` : "";
  shown.innerHTML = `<form method="dialog"><h3>${textOf(open.title, {})}</h3>${blocks(open.blocks, { view: open.id }, names())}` +
    `<div class="actions end"><button type="button" class="button" data-dismiss>${close}</button>${submit}</div></form>`;
  shown.showModal();
}

async function submit(view) {
  const values = {};
  for (const field of at("dialog").querySelectorAll("[data-field]")) {
    const { block, action, type } = JSON.parse(field.dataset.field);
    values[block] = { [action]: type === "static_select"
      ? { type, selected_option: { value: field.value } } : { type, value: field.value || null } };
  }
  const answer = await call("submit", { user: page.user, view, values });
  for (const place of at("dialog").querySelectorAll("[data-wrong]"))
    place.textContent = (answer.errors || {})[place.dataset.wrong] || "";
  refresh();
}

function show(channel, tab) {
  page.channel = channel;
  page.tab = tab || (channel === page.state.conversation ? "home" : "messages");
  if (channel === page.state.conversation && page.tab === "home") call("home", { user: page.user }).then(refresh);
  draw();
  if (!at("say").hidden) at("text").focus();
}

document.addEventListener("click", async (event) => {
  const target = event.target.closest("button");
  if (!target) return;
  if (target.dataset.channel) show(target.dataset.channel);
  if (target.dataset.tab) show(page.channel, target.dataset.tab);
  if ("dismiss" in target.dataset) await call("dismiss", { view: at("dialog").dataset.view }).then(refresh);
  if (target.dataset.click) {
    if (target.dataset.confirm) {
      const asked = JSON.parse(target.dataset.confirm);
      if (!window.confirm(`${asked.title.text}\n\n${asked.text.text}`)) return;
    }
    target.disabled = true;
    await call("click", { user: page.user, ...JSON.parse(target.dataset.click) });
    page.drawn = "";
    refresh();
  }
});

at("dialog").addEventListener("submit", (event) => { event.preventDefault(); submit(at("dialog").dataset.view); });
at("dialog").addEventListener("cancel", () => call("dismiss", { view: at("dialog").dataset.view }));
at("me").addEventListener("change", (event) => {
  page.user = event.target.value;
  event.target.blur();
  refresh().then(() => show(page.channel, page.tab));
});

function hints() {
  const typed = at("text").value;
  const fitting = typed.startsWith("/") ? HINTS.filter(([line]) => line.startsWith(typed)) : [];
  at("hints").hidden = !fitting.length;
  page.hint = Math.min(page.hint, fitting.length - 1);
  at("hints").innerHTML = fitting.map(([line, what], number) =>
    `<li><button type="button" data-line="${html(line)}" aria-current="${number === page.hint}"><code>${html(line)}</code>${html(what)}</button></li>`
  ).join("");
  return fitting;
}

at("hints").addEventListener("click", (event) => {
  const line = event.target.closest("[data-line]");
  if (!line) return;
  at("text").value = line.dataset.line;
  hints();
  at("text").focus();
});
at("text").addEventListener("input", () => { page.hint = -1; hints(); });
at("text").addEventListener("keydown", (event) => {
  const fitting = hints();
  if (!fitting.length) return;
  const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (step) { event.preventDefault(); page.hint = (page.hint + step + fitting.length) % fitting.length; hints(); }
  if (event.key === "Tab" || (event.key === "Enter" && page.hint >= 0)) {
    event.preventDefault();
    at("text").value = fitting[Math.max(page.hint, 0)][0];
    page.hint = -1;
    at("hints").hidden = true;
  }
  if (event.key === "Escape") at("hints").hidden = true;
});
at("say").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = at("text").value.trim();
  if (!text) return;
  at("text").value = "";
  at("hints").hidden = true;
  await call("say", { user: page.user, channel: page.channel, text });
  refresh();
});

// A permalink: /#C…/p…
function jump() {
  const [channel, message] = location.hash.slice(1).split("/");
  if (!channel || !page.state.channels.some((each) => each.id === channel)) return;
  show(channel, "messages");
  const found = message && at(message);
  if (found) { found.scrollIntoView({ block: "center" }); found.classList.add("found"); }
}
window.addEventListener("hashchange", jump);
refresh().then(() => { jump(); at("text").focus(); });
setInterval(refresh, 500);
