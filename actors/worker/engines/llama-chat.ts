/** The messages and the response format of a chat, in the terms of node-llama-cpp. */
import type { ChatHistoryItem, LlamaGrammar } from 'node-llama-cpp';
import { InferenceRefused } from '../../../wire/infer.js';
import type { ChatMessage, ChatRequest } from '../../../wire/openai.js';
import type { LoadedModel } from './llama-load.js';

/** @throws InferenceRefused 400 for content that is not text */
export function historyOf(messages: ChatMessage[]): ChatHistoryItem[] {
  return [...messages.map(itemOf), { type: 'model', response: [] }];
}

function itemOf({ role, content, tool_calls }: ChatMessage, i: number): ChatHistoryItem {
  const text = textOf(content, `messages[${i}].content`);
  switch (role) {
    case 'system':
    case 'developer':
      return { type: 'system', text };
    case 'user':
      return { type: 'user', text };
    case 'assistant': {
      const calls = (tool_calls ?? []).map((call) => JSON.stringify(call.function ?? {}));
      return { type: 'model', response: [text, ...calls].filter((part) => part !== '') };
    }
    // The library has no other place for the result of a tool.
    case 'tool':
    case 'function':
      return { type: 'user', text };
    default:
      throw new InferenceRefused(400, `this engine takes no messages of role ${role.slice(0, 32)}`, {
        param: `messages[${i}].role`,
        code: 'unsupported_value',
      });
  }
}

function textOf(content: ChatMessage['content'], param: string): string {
  if (typeof content === 'string') return content;
  return (content ?? [])
    .map(({ type, text }) => {
      if (type === 'text' && text !== undefined) return text;
      throw new InferenceRefused(400, `this engine reads text only, not ${type.slice(0, 32)}`, {
        param,
        code: 'unsupported_value',
      });
    })
    .join('');
}

/** `response_format`: any JSON, or JSON of a schema. @throws InferenceRefused 400 */
export async function grammarOf(
  { response_format: format }: ChatRequest,
  { llama }: LoadedModel,
): Promise<LlamaGrammar | null> {
  if (format == null || format.type === 'text') return null;
  const param = 'response_format';
  if (format.type === 'json_object') return llama.getGrammarFor('json');
  const { schema } = ((format as { json_schema?: unknown }).json_schema ?? {}) as { schema?: unknown };
  if (format.type !== 'json_schema' || typeof schema !== 'object' || schema === null) {
    throw new InferenceRefused(400, 'expected text, json_object, or json_schema with a schema in it', { param });
  }
  try {
    return await llama.createGrammarForJsonSchema(schema as never);
  } catch (error) {
    const { message } = error as Error;
    throw new InferenceRefused(400, `this JSON schema is not supported: ${message.slice(0, 200)}`, { param });
  }
}
