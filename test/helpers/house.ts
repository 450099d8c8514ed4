/** Which top-level folder ("room") may import which, and what the pure rooms must not use. */
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
  /** Other rooms that it may import; `type` allows `import type` only. */
  rooms: Partial<Record<Room | 'test', 'value' | 'type'>>;
  /** npm packages; all when absent. */
  packages?: string[];
  /** No Node built-ins. */
  browser?: true;
  /** No clock, no randomness, no I/O. */
  pure?: true;
}

const PURE: Pick<Rule, 'packages' | 'browser' | 'pure'> = {
  packages: ['xstate', '@xstate/store'],
  browser: true,
  pure: true,
};
/** The parts of a process. */
const PARTS: Rule['rooms'] = {
  ...{ wire: 'value', machines: 'value', stores: 'value', actors: 'value', server: 'value', client: 'value' },
};
const RULES: Record<Room, Rule> = {
  // Browsers and the pure rooms import it too, so it uses nothing that only Node has.
  wire: { rooms: {}, browser: true },
  machines: { rooms: { stores: 'value', wire: 'value' }, ...PURE },
  stores: { rooms: { machines: 'value', wire: 'value' }, ...PURE },
  actors: { rooms: { wire: 'value', machines: 'type', stores: 'type' } },
  server: { rooms: { stores: 'value', wire: 'value', machines: 'type' } },
  client: { rooms: { wire: 'value' } },
  // Parsers compile schemas, which the Content-Security-Policy of a page forbids: it uses types and plain functions of wire/.
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

/** Every TypeScript file of the rooms, except the configuration of vite. */
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

/** The violations in `file`: one sentence each, `file:line imports X: reason`. */
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
      found.push(`${file.path}:${lineOf(node)} uses ${touched}: ${room}/ uses no clock, no randomness and no I/O`);
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
  // `import { type A }` loads the module too (verbatimModuleSyntax): only `import type` is type-only.
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
  if (target === undefined) return rule.packages ? `the module must be known before it runs` : undefined;
  if (target.startsWith('.') || target.startsWith('/')) {
    const other = roomOf(path.posix.join(path.posix.dirname(file), target));
    if (other === room || other === 'types') return undefined;
    const allowed = isRoom(other) || other === 'test' ? rule.rooms[other] : undefined;
    if (allowed === 'value' || (allowed === 'type' && typeOnly)) return undefined;
    if (allowed === 'type') return `${room}/ takes only types from ${other}/: use import type`;
    if (!isRoom(other) && other !== 'test') return room === 'bin' ? undefined : 'it is in none of the rooms';
    if (other === 'bin') return 'nothing imports bin/';
    const open = Object.keys(rule.rooms);
    return `${room}/ imports ${open.length > 0 ? `only ${open.join(', ')}` : 'no other room'}`;
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

/** The use of a clock, randomness or I/O by this node, or undefined. */
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
