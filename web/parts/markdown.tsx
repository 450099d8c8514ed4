/**
 * Markdown as elements, from the tokens of `marked`, never its HTML. Unknown tokens are shown as they were written, so that
 * no word is lost. HTML from a model is shown as text, and images as links, since they would be fetched.
 */
import { Lexer, type MarkedOptions, type Token, type Tokens } from 'marked';
import type { ComponentChildren } from 'preact';
import { useMemo } from 'preact/hooks';
import { Scroll } from './scroll.js';

const OPTIONS: MarkedOptions = { gfm: true, breaks: true };
/** Longer texts and paragraphs and deeper nesting are shown as written: parsing them takes quadratic time. */
const CHARS_MAX = 100_000;
const PARAGRAPH_CHARS_MAX = 8_000;
const DEPTH_MAX = 24;

export function Markdown({ text }: { text: string }) {
  const tokens = useMemo(() => tokensOf(text), [text]);
  return <div class="markdown">{tokens ? <Blocks tokens={tokens} depth={0} /> : <p>{text}</p>}</div>;
}

function tokensOf(text: string): Token[] | null {
  if (text.length > CHARS_MAX) return null;
  try {
    const lexer = new Lexer(OPTIONS);
    lexer.blockTokens(text.replace(/\r\n?/g, '\n'), lexer.tokens);
    for (const { src, tokens } of lexer.inlineQueue) {
      if (src.length <= PARAGRAPH_CHARS_MAX) lexer.inlineTokens(src, tokens);
      else tokens.push({ type: 'text', raw: src, text: src });
    }
    return lexer.tokens;
  } catch {
    // Nested too deeply for the parser.
    return null;
  }
}

interface Part {
  tokens: readonly Token[] | undefined;
  depth: number;
}

function Blocks({ tokens = [], depth }: Part) {
  return (
    <>
      {tokens.map((token, i) => (
        <Block key={i} token={token} depth={depth} />
      ))}
    </>
  );
}

function Block({ token, depth }: { token: Token; depth: number }) {
  const inner = (tokens: Token[] | undefined) => <Blocks tokens={tokens} depth={depth + 1} />;
  if (depth > DEPTH_MAX) return <p>{token.raw}</p>;
  switch (token.type) {
    case 'space':
      return null;
    case 'hr':
      return <hr />;
    case 'code':
      return <Code text={token.text} language={token.lang} />;
    case 'heading':
      return (
        <p class="heading" data-level={token.depth}>
          <Inline tokens={token.tokens} depth={depth + 1} />
        </p>
      );
    case 'blockquote':
      return <blockquote>{inner(token.tokens)}</blockquote>;
    case 'list':
      return <List list={token as Tokens.List} depth={depth} />;
    case 'table':
      return <Table table={token as Tokens.Table} depth={depth} />;
    case 'paragraph':
      return (
        <p>
          <Inline tokens={token.tokens} depth={depth + 1} />
        </p>
      );
    case 'text':
      return <Inline tokens={token.tokens ?? [token]} depth={depth + 1} />;
    case 'checkbox':
      return <>{token.checked ? '☑ ' : '☐ '}</>;
    default:
      return <p>{token.raw.replace(/\n+$/, '')}</p>;
  }
}

function Code({ text, language }: { text: string; language: string | undefined }) {
  const name = language?.trim() ? `Code in ${language.trim()}` : 'Code';
  return (
    <Scroll label={name}>
      <pre>
        <code>{text}</code>
      </pre>
    </Scroll>
  );
}

function List({ list, depth }: { list: Tokens.List; depth: number }) {
  const items = list.items.map((item, i) => (
    <li key={i}>
      <Blocks tokens={item.tokens} depth={depth + 1} />
    </li>
  ));
  return list.ordered ? <ol start={Number(list.start) || 1}>{items}</ol> : <ul>{items}</ul>;
}

function Table({ table, depth }: { table: Tokens.Table; depth: number }) {
  const inner = (cell: Tokens.TableCell) => <Inline tokens={cell.tokens} depth={depth + 1} />;
  return (
    <Scroll label="Table">
      <table>
        <thead>
          <tr>
            {table.header.map((cell, i) => (
              <th key={i}>{inner(cell)}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {table.rows.map((row, i) => (
            <tr key={i}>
              {row.map((cell, j) => (
                <td key={j}>{inner(cell)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

function Inline({ tokens = [], depth }: Part) {
  if (depth > DEPTH_MAX) return <>{tokens.map(({ raw }) => raw).join('')}</>;
  return <>{tokens.map((token, i) => inlineOf(token, i, depth))}</>;
}

function inlineOf(token: Token, key: number, depth: number): ComponentChildren {
  const inner = 'tokens' in token && token.tokens && <Inline tokens={token.tokens} depth={depth + 1} />;
  switch (token.type) {
    case 'strong':
      return <strong key={key}>{inner}</strong>;
    case 'em':
      return <em key={key}>{inner}</em>;
    case 'del':
      return <s key={key}>{inner}</s>;
    case 'codespan':
      return <code key={key}>{token.text}</code>;
    case 'br':
      return <br key={key} />;
    case 'escape':
      return token.text;
    case 'link':
      return <Link key={key} href={token.href} text={inner || token.text} raw={token.raw} />;
    case 'image':
      return <Link key={key} href={token.href} text={token.text || token.href} raw={token.raw} />;
    case 'text':
      return inner || decoded(token.text);
    default:
      return token.raw;
  }
}

/** Links to web pages and mail addresses only; others are shown as they were written. */
function Link({ href, text, raw }: { href: string; text: ComponentChildren; raw: string }) {
  if (!/^(https?:\/\/|mailto:)/i.test(href)) return <>{raw}</>;
  return (
    <a href={href} target="_blank" rel="noopener noreferrer" title={href}>
      {text}
    </a>
  );
}

/** `&lt;` as `<`: entities one by one, so that nothing else is parsed as HTML. */
const decoded = (text: string): string =>
  text.replace(
    /&(?:#\d{1,7}|#x[\da-f]{1,6}|[a-z][a-z\d]{1,31});/gi,
    (entity) => new DOMParser().parseFromString(entity, 'text/html').documentElement.textContent || entity,
  );
