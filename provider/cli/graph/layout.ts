/**
 * Where everything stands: a frame per group of hosts, in it columns from rows to hooks, boxes from top to bottom. The
 * columns are given by the kinds, so no library for graphs at large is needed. Pure, and the same for the same graph.
 */
import { columns, type Edge, type Graph, type Group, type Host, type Node } from "./model";

/** Of the font's advance; svg.ts makes every line exactly this wide. */
export const CHARACTER = 7;
export const LINE = 17;
export const PAD = 10;
const GAP = 14;
const CHANNEL = 72;
const MARGIN = 16;
const HEADER = 44;
const HOST_LINE = 20;
/** Longest line of a box. */
const MOST_CHARACTERS = 46;
/** Hosts beside each other in the head of a fleet's frame. */
const HOSTS_PER_LINE = 5;

export interface Rectangle {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Line {
  text: string;
  role: "name" | "kind" | "fact" | "drift";
}

export interface Box extends Rectangle {
  node: Node;
  lines: Line[];
}

export interface HostLabel {
  host: Host;
  text: string;
  x: number;
  /** Of the text's base line. */
  y: number;
}

export interface Frame extends Rectangle {
  hosts: HostLabel[];
  boxes: Box[];
}

export interface Way {
  edge: Edge;
  /** Of an SVG path. */
  path: string;
}

export interface Layout {
  width: number;
  height: number;
  frames: Frame[];
  ways: Way[];
}

export function layoutOf(graph: Graph): Layout {
  const frames: Frame[] = [];
  let y = HEADER;
  for (const group of graph.groups) {
    const frame = frameOf(group, graph.edges, y);
    frames.push(frame);
    y += frame.height + MARGIN;
  }
  const inner = Math.max(400, ...frames.map(({ width }) => width));
  for (const frame of frames) frame.width = inner;
  return { width: inner + 2 * MARGIN, height: y, frames, ways: waysOf(frames, graph.edges) };
}

function frameOf({ hosts, nodes }: Group, edges: readonly Edge[], y: number): Frame {
  const labels = hostLabels(hosts, MARGIN + PAD, y + HOST_LINE + 4);
  const top = y + PAD + HOST_LINE * Math.ceil(hosts.length / HOSTS_PER_LINE) + PAD;
  const stacks = columnsOf(nodes, edges).map((column) => column.map(sizeOf));
  const heights = stacks.map((boxes) => boxes.reduce((sum, { height }) => sum + height + GAP, -GAP));
  const tallest = Math.max(0, ...heights);
  let x = MARGIN + PAD + 4;
  for (const [index, boxes] of stacks.entries()) {
    const width = Math.max(...boxes.map((box) => box.width));
    let bottom = top + (tallest - heights[index]!) / 2;
    for (const box of boxes) {
      Object.assign(box, { x, y: Math.round(bottom), width });
      bottom += box.height + GAP;
    }
    x += width + CHANNEL;
  }
  const hostsWidth = Math.max(...labels.map((label) => label.x + label.text.length * CHARACTER));
  const width = Math.max(x - CHANNEL, hostsWidth) + PAD + 4 - MARGIN;
  return { x: MARGIN, y, width, height: top + tallest + GAP - y, hosts: labels, boxes: stacks.flat() };
}

function hostLabels(hosts: readonly Host[], x: number, y: number): HostLabel[] {
  const texts = hosts.map(({ name, reachable, drifted }) => {
    const state = [...(reachable ? [] : ["unreachable"]), ...(drifted && hosts.length > 1 ? ["drift"] : [])];
    return state.length === 0 ? name : `${name} (${state.join(", ")})`;
  });
  const width = (Math.max(...texts.map(({ length }) => length)) + 3) * CHARACTER;
  return hosts.map((host, index) => ({
    host,
    text: texts[index]!,
    x: x + (index % HOSTS_PER_LINE) * width,
    y: y + Math.floor(index / HOSTS_PER_LINE) * HOST_LINE,
  }));
}

/** Without empty ones; in each, what belongs together stands at the same height. */
function columnsOf(nodes: readonly Node[], edges: readonly Edge[]): Node[][] {
  const found = columns.map((kind) => nodes.filter((node) => columnOf(node) === kind));
  // programs first, by name; then each column by the place of its neighbours in the ones already placed
  const place = new Map<string, number>();
  const settle = (column: Node[], order: (node: Node) => number): void => {
    const ranks = new Map(column.map((node) => [node, order(node)]));
    column.sort((a, b) => ranks.get(a)! - ranks.get(b)! || (a.id < b.id ? -1 : 1));
    column.forEach(({ id }, index) => place.set(id, (index + 0.5) / column.length));
  };
  const mean = ({ id }: Node): number => {
    const beside = edges.flatMap(({ from, to }) => (from === id ? [to] : to === id ? [from] : []));
    const places = beside.flatMap((other) => place.get(other) ?? []);
    return places.length === 0 ? 1 : places.reduce((sum, value) => sum + value, 0) / places.length;
  };
  const [entries = [], maps = [], programs = [], attachments = []] = found;
  settle(programs, () => 0);
  for (const column of [maps, entries, attachments]) settle(column, mean);
  // a map with rows stands where its rows do, as near as its program allows
  settle(maps, mean);
  return found.filter((column) => column.length > 0);
}

/** Kinds that this version does not know stand with the programs. */
function columnOf({ kind }: Node): (typeof columns)[number] {
  return besides[kind] ?? columns.find((column) => column === kind) ?? "Program";
}

/** What others refer to stands where maps do, what judges packets where hooks do. */
const besides: Readonly<Record<string, (typeof columns)[number]>> = {
  AddressSet: "Map",
  NetworkPolicy: "Attachment",
};

function sizeOf(node: Node): Box {
  const owner = { own: node.kind, part: "Map of the Program", outside: `${node.kind} of another stack` };
  const lines: Line[] = [
    { role: "name", text: cut(node.name) },
    { role: "kind", text: cut(owner[node.owner]) },
    ...node.facts.map((text): Line => ({ role: "fact", text: cut(text) })),
    ...node.drift.map((text): Line => ({ role: "drift", text: cut(`drift: ${text}`) })),
  ];
  const longest = Math.max(...lines.map(({ text }) => text.length));
  return {
    node,
    lines,
    x: 0,
    y: 0,
    width: longest * CHARACTER + 2 * PAD,
    height: lines.length * LINE + 2 * PAD - 4,
  };
}

function cut(text: string): string {
  const characters = [...text];
  return characters.length <= MOST_CHARACTERS
    ? text
    : `${characters.slice(0, MOST_CHARACTERS - 1).join("")}…`;
}

function waysOf(frames: readonly Frame[], edges: readonly Edge[]): Way[] {
  return frames.flatMap(({ boxes }) => {
    const known = new Map(boxes.map((box) => [box.node.id, box]));
    return edges.flatMap((edge) => {
      const from = known.get(edge.from);
      const to = known.get(edge.to);
      return from === undefined || to === undefined ? [] : [{ edge, path: pathOf(from, to) }];
    });
  });
}

/** To the right into the next column; within one, or over one, in the channel beside it. */
function pathOf(from: Box, to: Box): string {
  const right = from.x + from.width;
  const y1 = from.y + from.height / 2;
  const y2 = to.y + to.height / 2;
  if (from.x === to.x) {
    const bow = right + CHANNEL / 2;
    return `M${right} ${y1} C${bow} ${y1} ${bow} ${y2} ${right} ${y2}`;
  }
  const middle = to.x - CHANNEL / 2;
  return `M${right} ${y1} L${to.x - CHANNEL} ${y1} C${middle} ${y1} ${middle} ${y2} ${to.x} ${y2}`;
}
