import t from 'tap';
import { generationPrompt } from '../../../../actors/worker/engines/llama-template.js';
import { TEMPLATE } from '../../../../cli/tiny-gguf.js';

const asking = (text: string) => TEMPLATE.replace("'<|im_start|>assistant\\n'", `'<|im_start|>assistant\\n${text}'`);

t.test('text that a template writes only in front of the answer to generate is found', async (t) => {
  t.equal(generationPrompt(TEMPLATE), '', 'the header of an answer is no part of it');
  t.equal(generationPrompt(asking('Well, ')), 'Well, ');
  t.equal(generationPrompt(asking('<think>\\n\\n</think>\\n\\n')), '<think>\n\n</think>\n\n');
  t.equal(generationPrompt('{{ raise_exception("no") }}'), '');
  t.equal(generationPrompt('{% if'), '', 'an invalid template');
  t.equal(generationPrompt('{{ messages[0].content }}'), '', 'a template without answers');
});
