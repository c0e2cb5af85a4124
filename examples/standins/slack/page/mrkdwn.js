"use strict";
// Slack's mrkdwn → HTML. Everything is escaped first; what Slack would turn into a real mention is shown as one,
// so that words of a person that slipped through unescaped are seen.

const EMOJI = {
  white_check_mark: "✅", x: "❌", lock: "🔒", unlock: "🔓", warning: "⚠️", hourglass: "⌛", wave: "👋", rocket: "🚀",
  large_green_circle: "🟢", large_orange_circle: "🟠", large_yellow_circle: "🟡", red_circle: "🔴",
  white_circle: "⚪", large_blue_circle: "🔵", crescent_moon: "🌙", sunrise: "🌅", bell: "🔔", house: "🏠",
  alarm_clock: "⏰", point_right: "👉", wrench: "🔧", no_entry: "⛔", package: "📦", bust_in_silhouette: "👤",
};

function html(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

function plain(text) {
  return text.replace(/:([a-z_]+):/g, (whole, name) => EMOJI[name] || whole);
}

// `&lt;` in a message is text; an unescaped `<…>` is a mention or a link.
function mrkdwn(text, names) {
  const kept = [];
  const keep = (made) => `\u0000${kept.push(made) - 1}\u0000`;
  const decoded = (part) => part.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
  let out = text.replace(/```([\s\S]*?)```/g, (_, code) => keep(`<pre>${html(decoded(code))}</pre>`));
  out = out.replace(/`([^`\n]+)`/g, (_, code) => keep(`<code>${html(decoded(code))}</code>`));
  out = out.replace(/<([^<>\n]+)>/g, (_, inside) => keep(reference(inside, names, decoded)));
  out = html(decoded(plain(out)));
  out = out
    .replace(/(^|[\s(•·])\*([^*\n]+)\*(?=$|[\s).,:;!?…])/gm, "$1<b>$2</b>")
    .replace(/(^|[\s(])_([^_\n]+)_(?=$|[\s).,:;!?…])/gm, "$1<i>$2</i>")
    .replace(/(^|[\s(])~([^~\n]+)~(?=$|[\s).,:;!?…])/gm, "$1<s>$2</s>")
    .replace(/^&gt; ?(.*)$/gm, "<blockquote>$1</blockquote>")
    .replace(/<\/blockquote>\n/g, "</blockquote>")
    .replace(/\n/g, "<br>");
  return out.replace(/\u0000(\d+)\u0000/g, (_, number) => kept[Number(number)]);
}

function reference(inside, names, decoded) {
  const [target, label] = [inside.split("|")[0], inside.split("|").slice(1).join("|")];
  if (target.startsWith("@")) return `<span class="mention">@${html(names[target.slice(1)] || label || target)}</span>`;
  if (target.startsWith("#")) return `<span class="mention">#${html(label || names[target.slice(1)] || target)}</span>`;
  if (target.startsWith("!date^")) return html(decoded(label));
  if (target.startsWith("!")) return `<span class="mention everybody">@${html(target.slice(1).split("^")[0])}</span>`;
  if (!/^(https?:|mailto:)/.test(target)) return html(decoded(`<${inside}>`));
  return `<a href="${html(decoded(target))}" target="_blank" rel="noreferrer">${html(decoded(label || target))}</a>`;
}
