/** A layout as SVG. Owns colours and escaping; does not own places (layout.ts). Pure. */
import { type Box, CHARACTER, type Frame, type Layout, layoutOf, LINE, type Line, PAD } from "./layout";
import type { Graph } from "./model";

const style = `
    text { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: 11.5px; }
    .title { font-size: 13px; font-weight: 600; fill: #0f172a; }
    .frame { fill: #f8fafc; stroke: #cbd5e1; stroke-width: 1.5; }
    .host { font-weight: 600; fill: #475569; }
    .box { stroke-width: 1.5; }
    .MapEntries { fill: #fefce8; stroke: #ca8a04; }
    .Map { fill: #ecfdf5; stroke: #059669; }
    .Program { fill: #eef2ff; stroke: #4f46e5; }
    .Attachment { fill: #fff7ed; stroke: #ea580c; }
    .other { fill: #ffffff; stroke: #64748b; }
    .part { stroke-dasharray: 5 3; }
    .outside { fill: #ffffff; stroke: #94a3b8; stroke-dasharray: 2 3; }
    .drifted { stroke: #dc2626; stroke-width: 3; }
    .name { font-weight: 600; fill: #0f172a; }
    .kind { fill: #64748b; }
    .fact { fill: #334155; }
    .drift, .host.bad { fill: #b91c1c; font-weight: 600; }
    .way { fill: none; stroke: #64748b; stroke-width: 1.5; marker-end: url(#head); }
    .before { stroke-dasharray: 4 3; }`;

export function svgOf(graph: Graph): string {
  const layout = layoutOf(graph);
  const title = titleOf(graph);
  const width = Math.max(layout.width, title.length * CHARACTER + 32);
  const { height } = layout;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="title">`,
    `  <title id="title">${escaped(title)}</title>`,
    `  <defs>`,
    `    <marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0 L10 5 L0 10 z" fill="#64748b"/></marker>`,
    `    <style>${style}\n    </style>`,
    `  </defs>`,
    `  <rect width="${width}" height="${height}" rx="12" fill="#ffffff"/>`,
    `  ${textAt(16, 28, "title", title)}`,
    ...layout.frames.flatMap(frameSvg),
    ...waySvg(layout),
    ...layout.frames.flatMap(({ boxes }) => boxes.flatMap(boxSvg)),
    `</svg>`,
    ``,
  ].join("\n");
}

/** `firewall/prod: 2 hosts, 1 Attachment, 3 MapEntries, 3 Programs, 1 with drift`. */
function titleOf({ stack, groups }: Graph): string {
  const nodes = groups.flatMap((group) => group.nodes).filter(({ owner }) => owner === "own");
  const hosts = new Set(groups.flatMap((group) => group.hosts.map(({ name }) => name))).size;
  const kinds = [...new Set(nodes.map(({ kind }) => kind))].sort();
  const counts = kinds.map((kind) => plural(nodes.filter((node) => node.kind === kind).length, kind));
  const drifted = nodes.filter(({ drift }) => drift.length > 0).length;
  const parts = [plural(hosts, "host"), ...counts];
  return `${stack}: ${[...parts, drifted === 0 ? "no drift" : `${drifted} with drift`].join(", ")}`;
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 || noun === "MapEntries" ? "" : "s"}`;
}

function frameSvg({ x, y, width, height, hosts }: Frame): string[] {
  return [
    `  <rect class="frame" x="${x}" y="${y}" width="${width}" height="${height}" rx="10"/>`,
    ...hosts.map(({ host, text, x: left, y: base }) => {
      const bad = !host.reachable || (host.drifted && hosts.length > 1);
      return `  ${textAt(left, base, bad ? "host bad" : "host", text)}`;
    }),
  ];
}

function waySvg({ ways }: Layout): string[] {
  return ways.map(({ edge: { from, to, what }, path }) => {
    const title = escaped(`${from} ${what} ${to}`);
    return `  <path class="way ${what === "before" ? "before" : ""}" d="${path}"><title>${title}</title></path>`;
  });
}

function boxSvg({ node, lines, x, y, width, height }: Box): string[] {
  const kind = /^(MapEntries|Map|Program|Attachment)$/.test(node.kind) ? node.kind : "other";
  const classes = ["box", kind, node.owner, ...(node.drift.length > 0 ? ["drifted"] : [])].join(" ");
  const whole = [node.id, ...node.facts, ...node.drift.map((text) => `drift: ${text}`)].join("\n");
  return [
    `  <g><title>${escaped(whole)}</title>`,
    `    <rect class="${classes}" x="${x}" y="${y}" width="${width}" height="${height}" rx="6"/>`,
    ...lines.map(({ role, text }: Line, index) => {
      const base = y + PAD + LINE * index + 11;
      return `    ${textAt(x + PAD, base, role, text)}`;
    }),
    `  </g>`,
  ];
}

/** `textLength` holds the width whatever font there is. */
function textAt(x: number, y: number, role: string, text: string): string {
  const width = [...text].length * CHARACTER;
  return `<text class="${role}" x="${x}" y="${y}" textLength="${width}" lengthAdjust="spacingAndGlyphs">${escaped(text)}</text>`;
}

const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

/** Control characters are no part of XML. */
function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (character) => entities[character]!).replace(/[^\P{Cc}\n]/gu, "\uFFFD");
}
