/**
 * Text that a chat template writes only where an answer is asked for (`add_generation_prompt`), such as a first word or an
 * empty thought: node-llama-cpp renders answers as if they were given, and leaves it out.
 */
import { Template } from '@huggingface/jinja';
import type { ChatWrapper } from 'node-llama-cpp';
import type { Library } from './llama-file.js';

/** Words that no template holds. */
const QUESTION = 'a-question-of-rbee';
const ANSWER = 'an-answer-of-rbee';

/** What `template` writes behind the header of an answer when it asks for one; empty where it cannot be told. */
export function generationPrompt(template: string): string {
  try {
    const jinja = new Template(template);
    const question = { role: 'user', content: QUESTION };
    const render = (messages: object[], add_generation_prompt: boolean) =>
      jinja.render({ messages, add_generation_prompt, bos_token: '', eos_token: '', eot_token: '' });
    const asked = render([question], true);
    const answered = render([question, { role: 'assistant', content: ANSWER }], false);
    const header = answered.slice(0, answered.indexOf(ANSWER));
    return header.includes(QUESTION) && asked.startsWith(header) ? asked.slice(header.length) : '';
  } catch {
    // A template that this version of Jinja cannot run is the library's business.
    return '';
  }
}

/** The wrapper, with that text in front of each answer; the wrapper itself where it writes it already. */
export function withGenerationPrompt(
  library: Library,
  template: string | undefined,
  wrapper: ChatWrapper,
): ChatWrapper {
  const text = template === undefined ? '' : generationPrompt(template);
  // The beginning of a thought is opened by the wrapper, which must know that it is one.
  if (text === '') return wrapper;
  // The beginning of a thought is opened by the wrapper, which must know that it is one.
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
