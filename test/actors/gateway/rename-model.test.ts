import t from 'tap';
import { renameModel } from '../../../actors/gateway/rename-model.js';

t.test('only the name of the model is another one then', async (t) => {
  const renamed = (text: string) => renameModel(Buffer.from(text), 'a "b"').toString();
  const same: [string, string][] = [
    ['{"model":"x"}', '{"model":"a \\"b\\""}'],
    [
      '{ "a" : [ "model" , {"model":"y"} ], "model" : "x" , "n": 1.0 }',
      '{ "a" : [ "model" , {"model":"y"} ], "model" : "a \\"b\\"" , "n": 1.0 }',
    ],
    ['{"a":"model","b":"\\"model\\":","model":"x"}', '{"a":"model","b":"\\"model\\":","model":"a \\"b\\""}'],
    ['{"\\u006dodel":"x"}', '{"\\u006dodel":"a \\"b\\""}'],
    ['{"model":"x","model":"ü🐝\\\\"}', '{"model":"a \\"b\\"","model":"a \\"b\\""}'],
    [
      '{"ü":"🐝}{][","model":"x","seed":12345678901234567890}',
      '{"ü":"🐝}{][","model":"a \\"b\\"","seed":12345678901234567890}',
    ],
  ];
  for (const [text, expected] of same) t.equal(renamed(text), expected);
});
