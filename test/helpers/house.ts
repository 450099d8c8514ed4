/** Which room may import which, and what the pure rooms must not touch. See "which way the arrows go" in the docs. */
import { readdirSync, readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import path from 'node:path';
import ts from 'typescript';

/** Rooms whose imports are checked. Tests may import anything. */
export const ROOMS = [
  'wire',
  'machines',
  'stores',
  'actors',
  'server',
  'wiring',
  'cli',
  'bin',
  'client',
  'web',
  'bench',
] as const;
type Room = (typeof ROOMS)[number];

interface Rule {
  /** Our own rooms besides itself; `type` allows `import type` only. */
  rooms: Partial<Record<Room | 'test', 'value' | 'type'>>;
  /** npm packages, when not all are allowed. */
  packages?: string[];
  /** No Node built-ins. */
  browser?: true;
  /** No clock, no chance, no I/O. */
  pure?: true;
}

const PURE: Pick<Rule, 'packages' | 'browser' | 'pure'> = {
  packages: ['xstate', '@xstate/store'],
  browser: true,
  pure: true,
};
/** What a process is put together from. */
const PARTS: Rule['rooms'] = {
  ...{ wire: 'value', machines: 'value', stores: 'value', actors: 'value', server: 'value', client: 'value' },
};
const RULES: Record<Room, Rule> = {
  // Browsers and the pure rooms read it too, so it needs nothing that only Node has.
  wire: { rooms: {}, browser: true },
  machines: { rooms: { stores: 'value', wire: 'value' }, ...PURE },
  stores: { rooms: { machines: 'value', wire: 'value' }, ...PURE },
  actors: { rooms: { wire: 'value', machines: 'type', stores: 'type' } },
  server: { rooms: { stores: 'value', wire: 'value', machines: 'type' } },
  client: { rooms: { wire: 'value' } },
  // Schemas are compiled by the parsers that a page may not run: of wire/ it takes types and plain functions.
  web: { rooms: { wire: 'value', client: 'value' }, browser: true },
  wiring: { rooms: PARTS },
  cli: { rooms: { ...PARTS, wiring: 'value' } },
  bin: { rooms: { ...PARTS, wiring: 'value', cli: 'value' } },
  bench: { rooms: { ...PARTS, wiring: 'value', cli: 'value', bin: 'value', test: 'value' } },
};

export interface SourceFile {
  /** From the root of the repository, such as `machines/hive.ts`. */
  path: string;
  text: string;
}

interface Import {
  line: number;
  /** Undefined when it is computed. */
  target: string | undefined;
  typeOnly: boolean;
}

/** Every TypeScript file of the rooms; what builds the page is in none of them. */
export function houseFiles(root: string): SourceFile[] {
  return ROOMS.flatMap((room) =>
    readdirSync(path.join(root, room), { recursive: true, encoding: 'utf8' })
      .filter((name) => /\.([cm]?ts|tsx)$/.test(name) && name !== 'vite.config.ts')
      .map((name) => {
        const file = path.join(room, name);
        return { path: file.replaceAll(path.sep, '/'), text: readFileSync(path.join(root, file), 'utf8') };
      }),
  );
}

/** What in `file` goes against the house: one sentence each, `file:line imports X: reason`. */
export function violations(file: SourceFile): string[] {
  const room = roomOf(file.path);
  if (!isRoom(room)) return [];
  const rule = RULES[room];
  const source = ts.createSourceFile(file.path, file.text, ts.ScriptTarget.ES2022, true);
  const found: string[] = [];
  const lineOf = (node: ts.Node) => source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1;
  const visit = (node: ts.Node): void => {
    const imported = importOf(node, lineOf);
    if (imported) {
      const reason = objection(file.path, room, rule, imported);
      const target = imported.target ?? 'a computed module';
      if (reason) found.push(`${file.path}:${imported.line} imports ${target}: ${reason}`);
    }
    const touched = rule.pure && impurity(node);
    if (touched)
      found.push(`${file.path}:${lineOf(node)} uses ${touched}: ${room}/ has no clock, no chance and no I/O`);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

function importOf(node: ts.Node, lineOf: (node: ts.Node) => number): Import | undefined {
  const of = (specifier: ts.Node | undefined, typeOnly: boolean): Import => ({
    line: lineOf(node),
    target: specifier && ts.isStringLiteralLike(specifier) ? specifier.text : undefined,
    typeOnly,
  });
  // `import { type A }` loads the module all the same (verbatimModuleSyntax): only `import type` is type-only.
  if (ts.isImportDeclaration(node)) return of(node.moduleSpecifier, node.importClause?.isTypeOnly === true);
  if (ts.isExportDeclaration(node)) return node.moduleSpecifier && of(node.moduleSpecifier, node.isTypeOnly);
  if (ts.isImportTypeNode(node))
    return of(ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined, true);
  if (ts.isImportEqualsDeclaration(node) && ts.isExternalModuleReference(node.moduleReference)) {
    return of(node.moduleReference.expression, node.isTypeOnly);
  }
  if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
    return of(node.arguments[0], false);
  }
  return undefined;
}

/** Why `room` must not import this, or undefined. */
function objection(file: string, room: Room, rule: Rule, { target, typeOnly }: Import): string | undefined {
  if (target === undefined) return rule.packages ? `nobody can tell what ${room}/ loads there` : undefined;
  if (target.startsWith('.') || target.startsWith('/')) {
    const other = roomOf(path.posix.join(path.posix.dirname(file), target));
    if (other === room || other === 'types') return undefined;
    const allowed = isRoom(other) || other === 'test' ? rule.rooms[other] : undefined;
    if (allowed === 'value' || (allowed === 'type' && typeOnly)) return undefined;
    if (allowed === 'type') return `${room}/ takes only types from ${other}/: use import type`;
    if (!isRoom(other) && other !== 'test') return room === 'bin' ? undefined : 'it is in no room of the house';
    if (other === 'bin') return 'nothing imports bin/';
    const open = Object.keys(rule.rooms);
    return `${room}/ imports ${open.length > 0 ? `of ours only ${open.join(', ')}` : 'nothing of ours'}`;
  }
  if (isBuiltin(target)) return rule.browser ? `${room}/ uses nothing that only Node has` : undefined;
  const name = target
    .split('/')
    .slice(0, target.startsWith('@') ? 2 : 1)
    .join('/');
  if (!rule.packages || rule.packages.includes(name)) return undefined;
  return `${room}/ imports no packages but ${rule.packages.join(' and ')}`;
}

const IMPURE_MEMBERS = ['Date.now', 'Math.random', 'performance.now'];
const IMPURE_OBJECTS = ['console', 'crypto'];
const IMPURE_CALLS = ['fetch', 'setTimeout', 'setInterval', 'setImmediate'];

/** The clock, the chance or the I/O that this node is, or undefined. */
function impurity(node: ts.Node): string | undefined {
  if (ts.isNewExpression(node)) {
    return ts.isIdentifier(node.expression) && node.expression.text === 'Date' ? 'new Date' : undefined;
  }
  if (ts.isPropertyAccessExpression(node) && ts.isIdentifier(node.expression)) {
    const member = `${node.expression.text}.${node.name.text}`;
    return IMPURE_MEMBERS.includes(member) || IMPURE_OBJECTS.includes(node.expression.text) ? member : undefined;
  }
  if (!ts.isCallExpression(node)) return undefined;
  const callee = ts.isPropertyAccessExpression(node.expression) ? node.expression.name : node.expression;
  return ts.isIdentifier(callee) && IMPURE_CALLS.includes(callee.text) ? callee.text : undefined;
}

function roomOf(file: string): string {
  return path.posix.normalize(file).split('/')[0] ?? '';
}

function isRoom(name: string): name is Room {
  return (ROOMS as readonly string[]).includes(name);
}
