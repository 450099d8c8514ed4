/**
 * Text that a chat template writes only in front of the answer to generate (`add_generation_prompt`), such as a first word or
 * an empty reasoning block. node-llama-cpp renders that answer like a past one, and omits the text.
 */
import { Template } from '@huggingface/jinja';
import type { ChatWrapper } from 'node-llama-cpp';
import type { Library } from './llama-library.js';

/** Text that occurs in no template. */
const QUESTION = 'a-question-of-rbee';
const ANSWER = 'an-answer-of-rbee';

/** What `template` writes between the header of the answer to generate and the answer; empty where that is unknown. */
export function generationPrompt(template: string): string {
  try {
    const jinja = new Template(template);
    const question = { role: 'user', content: QUESTION };
    const render = (messages: object[], add_generation_prompt: boolean) =>
      jinja.render({ messages, add_generation_prompt, bos_token: '', eos_token: '', eot_token: '' });
    const prompt = render([question], true);
    const answered = render([question, { role: 'assistant', content: ANSWER }], false);
    const header = answered.slice(0, answered.indexOf(ANSWER));
    return header.includes(QUESTION) && prompt.startsWith(header) ? prompt.slice(header.length) : '';
  } catch {
    // The library handles templates that this Jinja cannot run.
    return '';
  }
}

/** The wrapper, with that text in front of each answer; the unchanged wrapper where it writes the text itself. */
export function withGenerationPrompt(
  library: Library,
  template: string | undefined,
  wrapper: ChatWrapper,
): ChatWrapper {
  const text = template === undefined ? '' : generationPrompt(template);
  if (text === '') return wrapper;
  // The wrapper opens reasoning blocks itself, so that it recognises their content.
  if (/<[a-z_]*(think|reason)[a-z_]*>\s*$/i.test(text)) return wrapper;
  const question = { type: 'user', text: QUESTION } as const;
  const asking = wrapper.generateContextState({ chatHistory: [question, { type: 'model', response: [] }] });
  if (asking.contextText.toString().endsWith(text)) return wrapper;
  const { LlamaText, SpecialTokensText } = library;
  const generateContextState: ChatWrapper['generateContextState'] = (options) => {
    const state = wrapper.generateContextState(options);
    const last = options.chatHistory.at(-1);
    if (last?.type !== 'model' || last.response.some((part) => part !== '')) return state;
    return { ...state, contextText: LlamaText([state.contextText, new SpecialTokensText(text)]) };
  };
  return Object.create(wrapper, { generateContextState: { value: generateContextState } });
}
