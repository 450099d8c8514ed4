/**
 * A language model small enough for a demonstration and for tests, whose answer is known: to any prompt it recites SENTENCE, one
 * token per word. It is a real GGUF file (version 3) of llama's architecture. Attention and feed-forward add nothing, so the output
 * head sees only the last token, and maps each word to the one that follows.
 */
import { writeFileSync } from 'node:fs';

/** The answer to any prompt under greedy sampling. No word occurs twice. */
export const SENTENCE = 'Hello ! I am a tiny model made for tests , so every reply is this one sentence .';
/** Its words, and the token that ends it. */
export const SENTENCE_TOKENS = SENTENCE.split(' ').length + 1;

export interface TinyOptions {
  /** Its context, in tokens; 512. */
  contextTokens?: number;
  /** Repeats instead of ending: it generates until the context is full. */
  endless?: boolean;
  /** Width of its hidden state; 64. Larger only makes it slower. */
  width?: number;
  /** Its chat template; ChatML. */
  template?: string;
}

export const TEMPLATE =
  "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

const LAYERS = 1;
const HEADS = 4;
const ALIGNMENT = 32;
/** The space before a word in SentencePiece's vocabulary. */
const SPACE = '▁';
const TYPE = { normal: 1, unknown: 2, control: 3, byte: 6 } as const;

export function writeTinyModel(file: string, options: TinyOptions = {}): string {
  writeFileSync(file, tinyGguf(options));
  return file;
}

export function tinyGguf({
  contextTokens = 512,
  endless = false,
  width = 64,
  template = TEMPLATE,
}: TinyOptions = {}): Buffer {
  const vocabulary = makeVocabulary();
  const metadata: Field[] = [
    ['general.architecture', 'string', 'llama'],
    ['general.name', 'string', 'tiny'],
    ['general.file_type', 'uint32', 0],
    ['general.alignment', 'uint32', ALIGNMENT],
    ['llama.context_length', 'uint32', contextTokens],
    ['llama.embedding_length', 'uint32', width],
    ['llama.block_count', 'uint32', LAYERS],
    ['llama.feed_forward_length', 'uint32', 2 * width],
    ['llama.attention.head_count', 'uint32', HEADS],
    ['llama.attention.head_count_kv', 'uint32', HEADS],
    ['llama.attention.layer_norm_rms_epsilon', 'float32', 1e-5],
    ['llama.rope.dimension_count', 'uint32', width / HEADS],
    ['llama.vocab_size', 'uint32', vocabulary.length],
    ['tokenizer.ggml.model', 'string', 'llama'],
    ['tokenizer.ggml.tokens', 'string', vocabulary.map(({ text }) => text)],
    ['tokenizer.ggml.scores', 'float32', vocabulary.map(({ score }) => score)],
    ['tokenizer.ggml.token_type', 'int32', vocabulary.map(({ type }) => type)],
    ['tokenizer.ggml.bos_token_id', 'uint32', 1],
    ['tokenizer.ggml.eos_token_id', 'uint32', idOf(vocabulary, '<|im_end|>')],
    ['tokenizer.ggml.unknown_token_id', 'uint32', 0],
    ['tokenizer.ggml.add_bos_token', 'bool', true],
    ['tokenizer.ggml.add_eos_token', 'bool', false],
    ['tokenizer.chat_template', 'string', template],
  ];
  return fileOf(metadata, makeTensors(vocabulary, width, endless));
}

interface Entry {
  text: string;
  type: number;
  score: number;
}

function idOf(vocabulary: Entry[], text: string): number {
  const id = vocabulary.findIndex((entry) => entry.text === text);
  if (id === -1) throw new Error(`the tiny model has no token ${text}`);
  return id;
}

/** Words are merged from their beginnings, so each beginning is a token too, and a longer one scores better. */
function makeVocabulary(): Entry[] {
  const entries = new Map<string, Entry>();
  const add = (text: string, type: number, score = 0) => {
    if (!entries.has(text)) entries.set(text, { text, type, score });
  };
  add('<unk>', TYPE.unknown);
  for (const text of ['<s>', '</s>', '<|im_start|>', '<|im_end|>']) add(text, TYPE.control);
  for (let byte = 0; byte < 256; byte += 1) {
    add(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`, TYPE.byte);
  }
  add(SPACE, TYPE.normal, -1000);
  for (let code = 33; code < 127; code += 1) add(String.fromCharCode(code), TYPE.normal, -1000);
  for (const word of SENTENCE.split(' ')) {
    for (let end = 1; end <= word.length; end += 1) add(SPACE + word.slice(0, end), TYPE.normal, end - 100);
  }
  return [...entries.values()];
}

interface Tensor {
  name: string;
  /** Fastest-changing dimension first, as in ggml. */
  shape: number[];
  values: Float32Array;
}

function makeTensors(vocabulary: Entry[], width: number, endless: boolean): Tensor[] {
  const draw = normals(1);
  const noise = (count: number, scale: number) => Float32Array.from({ length: count }, () => draw() * scale);
  const ones = () => new Float32Array(width).fill(1);
  const embeddings = noise(width * vocabulary.length, 1);
  const tensors: Tensor[] = [
    { name: 'token_embd.weight', shape: [width, vocabulary.length], values: embeddings },
    { name: 'output_norm.weight', shape: [width], values: ones() },
    {
      name: 'output.weight',
      shape: [width, vocabulary.length],
      values: followers(vocabulary, embeddings, width, endless),
    },
  ];
  for (let layer = 0; layer < LAYERS; layer += 1) {
    const add = (name: string, shape: number[], values: Float32Array) =>
      tensors.push({ name: `blk.${layer}.${name}.weight`, shape, values });
    const hidden = 2 * width;
    const scale = 1 / Math.sqrt(width);
    add('attn_norm', [width], ones());
    for (const part of ['q', 'k', 'v']) add(`attn_${part}`, [width, width], noise(width * width, scale));
    add('attn_output', [width, width], new Float32Array(width * width));
    add('ffn_norm', [width], ones());
    add('ffn_gate', [width, hidden], noise(width * hidden, scale));
    add('ffn_up', [width, hidden], noise(width * hidden, scale));
    add('ffn_down', [hidden, width], new Float32Array(width * hidden));
  }
  return tensors;
}

/** The output head: a token's row points where the embedding of the token before it does. */
function followers(vocabulary: Entry[], embeddings: Float32Array, width: number, endless: boolean): Float32Array {
  const head = new Float32Array(width * vocabulary.length);
  const link = (before: number, after: number) => {
    for (let i = 0; i < width; i += 1) {
      const at = after * width + i;
      head[at] = (head[at] ?? 0) + (embeddings[before * width + i] ?? 0) * 0.5;
    }
  };
  const words = SENTENCE.split(' ').map((word) => idOf(vocabulary, SPACE + word));
  const first = words[0] as number;
  const end = endless ? first : idOf(vocabulary, '<|im_end|>');
  for (const [i, word] of words.entries()) link(word, words[i + 1] ?? end);
  // Tokens that a prompt may end with (a new line, a space, a control token) are followed by the first word.
  const begins = (entry: Entry, id: number) => id < 5 || entry.text === '<0x0A>' || '?!.: '.includes(entry.text);
  for (const [id, entry] of vocabulary.entries()) if (!words.includes(id) && begins(entry, id)) link(id, first);
  return head;
}

/** Normally distributed, and the same each time: mulberry32 under Box and Muller. */
function normals(seed: number): () => number {
  let state = seed;
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

/** GGUF's numbers for types of values (ggml-org/ggml, docs/gguf.md). */
const VALUE = { uint32: 4, int32: 5, float32: 6, bool: 7, string: 8, array: 9 } as const;
type ValueType = Exclude<keyof typeof VALUE, 'array'>;
type Value = string | number | boolean;
type Field = [key: string, type: ValueType, value: Value | Value[]];
const F32 = 0;

function fileOf(metadata: Field[], tensors: Tensor[]): Buffer {
  const head: Buffer[] = [Buffer.from('GGUF'), uint32(3), uint64(tensors.length), uint64(metadata.length)];
  for (const [key, type, value] of metadata) {
    head.push(text(key));
    if (Array.isArray(value)) {
      head.push(uint32(VALUE.array), uint32(VALUE[type]), uint64(value.length));
      for (const one of value) head.push(bytesOf(type, one));
    } else head.push(uint32(VALUE[type]), bytesOf(type, value));
  }
  const data: Buffer[] = [];
  let offset = 0;
  for (const { name, shape, values } of tensors) {
    head.push(text(name), uint32(shape.length), ...shape.map(uint64), uint32(F32), uint64(offset));
    const bytes = padded(Buffer.from(values.buffer, values.byteOffset, values.byteLength));
    data.push(bytes);
    offset += bytes.length;
  }
  return Buffer.concat([padded(Buffer.concat(head)), ...data]);
}

function bytesOf(type: ValueType, value: Value): Buffer {
  if (type === 'string') return text(String(value));
  if (type === 'bool') return Buffer.from([value ? 1 : 0]);
  const bytes = Buffer.alloc(4);
  if (type === 'float32') bytes.writeFloatLE(Number(value));
  else if (type === 'int32') bytes.writeInt32LE(Number(value));
  else bytes.writeUInt32LE(Number(value));
  return bytes;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'utf8');
  return Buffer.concat([uint64(bytes.length), bytes]);
}

function uint32(value: number): Buffer {
  return bytesOf('uint32', value);
}

function uint64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((ALIGNMENT - (bytes.length % ALIGNMENT)) % ALIGNMENT)]);
}
