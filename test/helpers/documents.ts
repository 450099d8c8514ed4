/** The files, folders, sections and symbols that the documents name. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { ROOMS } from './house.js';

const FOLDERS = [...ROOMS, 'test', 'docs', 'examples', 'types'];
/** `actors/hive/announce.ts`, `actors/hive/`, or a module without its extension, as in drawings. */
const PATH = new RegExp(`(?<![\\w./@-])(?:${FOLDERS.join('|')})/[\\w./-]*\\w/?`, 'g');
const LINK = /\]\((?!\w+:|#)([^)#\s]+)/g;
const EXTENSIONS = ['', '.ts', '.tsx', '.test.ts'];
const SOURCE = /\.(ts|tsx|mjs|js)$/;

interface Mention {
  /** `file:line` */
  where: string;
  text: string;
}

/** All documents, from the root of the repository. */
export function documents(root: string): string[] {
  return filesOf(root, ['docs', '.github', ...FOLDERS]).filter((file) => file.endsWith('.md'));
}

/** All sources, from the root of the repository. */
export function sources(root: string): string[] {
  return filesOf(root, FOLDERS).filter((file) => SOURCE.test(file));
}

/** Files and folders that a document names in its text or links to, and that do not exist. */
export function stalePaths(root: string, file: string): string[] {
  const named = mentions(root, file, PATH).map((mention) => ({ ...mention, target: mention.text }));
  const linked = mentions(root, file, LINK).map((mention) => ({
    ...mention,
    target: path.posix.join(path.posix.dirname(file), mention.text),
  }));
  return [...named, ...linked]
    .filter(({ target }) => !EXTENSIONS.some((extension) => existsSync(path.join(root, target + extension))))
    .map(({ where, text }) => `${where} names ${text}, which does not exist`);
}

/** Sections of docs/protocol.md that a file cites and that the protocol does not have. */
export function staleSections(root: string, file: string): string[] {
  const headings = mentions(root, 'docs/protocol.md', /^#{2,3} ([\d.]+)/gm).map(({ text }) => text.replace(/\.$/, ''));
  return mentions(root, file, /protocol\.md\)?, sections? (\d+(?:\.\d+)?)/g)
    .filter(({ text }) => !headings.includes(text))
    .map(({ where, text }) => `${where} cites section ${text} of the protocol, which does not exist`);
}

/**
 * Symbols that a document ascribes to a file that does not contain them. A symbol is a word or dotted name in backticks; its
 * file is the last one named before it in the same paragraph.
 */
export function staleSymbols(root: string, file: string): string[] {
  const found: string[] = [];
  let source = '';
  let name = '';
  for (const { where, text } of mentions(root, file, /\n\n|`([^`\n]+)`/g)) {
    if (SOURCE.test(text) || text === '') {
      name = text;
      source = text !== '' && existsSync(path.join(root, text)) ? readFileSync(path.join(root, text), 'utf8') : '';
    } else if (/^[\w$]+(\.[\w$]+)*$/.test(text)) {
      if (name === '') found.push(`${where} names ${text} without a file`);
      else if (!new RegExp(`(?<![\\w$])${text.replaceAll(/[.$]/g, '\\$&')}(?![\\w$])`).test(source))
        found.push(`${where} names ${text}, which is not in ${name}`);
    }
  }
  return found;
}

/** What `pattern` finds: its first group, or all of it. */
function mentions(root: string, file: string, pattern: RegExp): Mention[] {
  const text = readFileSync(path.join(root, file), 'utf8');
  return [...text.matchAll(pattern)].map((match) => ({
    where: `${file}:${text.slice(0, match.index).split('\n').length}`,
    text: (match.length > 1 ? match[1] : match[0])?.trim() ?? '',
  }));
}

function filesOf(root: string, folders: string[]): string[] {
  const inside = [...new Set(folders)].flatMap((folder) =>
    readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' }).map((file) =>
      path.posix.join(folder, file.replaceAll(path.sep, '/')),
    ),
  );
  return [...readdirSync(root), ...inside].sort();
}
