import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { cutMangled } from '../../../../lib/script/mangled.ts'
import { redact, registerSecret } from '../../../../lib/script/redact.ts'

// Messages are those of go.yaml.in/yaml, sigs.k8s.io/yaml, structured-merge-diff, the API server, Helm and strconv.
for (const [text, expected] of [
  [
    "envsubst error: YAMLToJSON: yaml: unknown anchor 'hunter2hunter2' referenced",
    /unknown anchor '\*\*\*' referenced/,
  ],
  [
    'yaml: unmarshal errors:\n  line 5: mapping key "hunter2hunter2" already defined at line 4',
    /key "\*\*\*" already/,
  ],
  ['yaml: unmarshal errors:\n  line 3: cannot unmarshal !!str `hunter2...` into int', /!!str `\*\*\*` into/],
  ['json: cannot unmarshal number 314159265358979 into Go struct field', /unmarshal number \*\*\* into/],
  [
    '.stringData.A: expected string, got &value.valueUnstructured{Value:hunter2}',
    /valueUnstructured\{\*\*\*\}$/,
  ],
  ['.a: expected map, got &{hunter2 {hunter2}}, and so on', /got &\{\*\*\*\}, and so on$/],
  [
    '.a: expected string, got &value.valueUnstructured{Value:map[string]interface {}{"a":"hunter2"',
    /\{\*\*\*$/,
  ],
  ['.a: expected string, got &value.valueUnstructured{Value:x}hunter2}', /Unstructured\{\*\*\*$/],
  ['spec.host: Invalid value: "hunter2\\"hunter2": must be', /value: "\*\*\*": must be/],
  ['spec.host: Invalid value: 3.1415926535897933e+31: must be', /value: \*\*\*: must be/],
  ['spec.x: Invalid value: 34283457370986: must be', /value: \*\*\*: must be/],
  ['spec.x: Invalid value: map[string]interface {}{"a":"hunter2: x"}: must be', /value: \*\*\*: must be/],
  ['spec.x: Invalid value: []string{"hunter2"}: must be', /value: \*\*\*: must be/],
  ['spec.x: Unsupported value: "hunter2": supported values: "a"', /value: "\*\*\*": supported values: "a"/],
  ['spec.x: Duplicate value: "hunter2"\nspec.y: Duplicate value: "hunter2"', /"\*\*\*"\n.*"\*\*\*"$/],
  ['strconv.ParseInt: parsing "hunter2": invalid syntax', /parsing "\*\*\*": invalid/],
  ["at '/a': 'hunter2' does not match pattern '^x'", /'\*\*\*' does not match/],
  ['the number 3.1415926535897933e+31 is', /number \*\*\* is/],
  ['level=error err="yaml: line 3: cannot unmarshal \\"hunter2\\" into int"', /unmarshal \\"\*\*\*\\" into/],
  ['{"level":"error","password":"hunter2","error":"yaml: line 3: bad"}', /"\*\*\*":"\*\*\*","error"/],
] as const)
  test(`a quoted value is cut: ${text.slice(0, 70)}`, () => {
    const cut = cutMangled(text)
    assert.match(cut, expected)
    assert.not.match(cut, /hunter2|3\.14|31415|342834/)
  })

test('what tells an administrator something stays', () => {
  for (const text of [
    'post build failed for \'wekan\': envsubst error: variable substitution failed: variable not set (strict mode): "domain"',
    "post build failed for 'x': substitute from 'Secret/oas-oauth-variables' error: secrets \"oas-oauth-variables\" not found",
    'spec.replicas: Invalid value: "string": must be of type integer: "string"',
    'spec.replicas: Invalid value: -1: must be greater than or equal to 0',
    "yaml: line 8: could not find expected ':'",
    '{"level":"error","error":"reading /etc/x.yml: yaml: line 5: mapping values are not allowed","time":"2026-11-28"}',
    'level=ERROR msg="Error loading config" err="parsing YAML file: yaml: unmarshal errors: field x not found"',
    'Pod "wekan-1" is invalid: spec.x: Forbidden: "no"',
    'error in release.yaml: "hunter" is not known',
    "accumulating resources from 'x.yaml': no such file",
    '/docker-entrypoint.sh: Launching /docker-entrypoint.d/20-envsubst-on-templates.sh\n[emerg] host not found in upstream "backend"',
    '20-envsubst-on-templates.sh: Running envsubst on /etc/nginx/templates/a.template\n[emerg] unknown directive "servr"',
  ])
    assert.is(cutMangled(text), text)
})

test('of a log the lines are judged each by itself, with those that go on below them', () => {
  const parser =
    '2026-11-28T16:58:01Z ERROR yaml: unmarshal errors:\n  line 5: mapping key "hunter2hunter2" twice'
  assert.is(
    cutMangled(
      `2026-11-28 16:58:00 cannot open "settings.ini"\n${parser}\nlevel=info msg="serves \\"shop\\""`,
    ),
    `2026-11-28 16:58:00 cannot open "settings.ini"\n${parser.replace('hunter2hunter2', '***')}\nlevel=info msg="serves \\"shop\\""`,
  )
  for (const text of [
    // What is announced is no line of its own, and neither is what only looks like one.
    'yaml: line 3: could not find expected\n"hunter2"',
    'ERROR envsubst error: YAMLToJSON:\n{"level":"info","password":"hunter2hunter2"}',
    'yaml: line 3: cannot unmarshal:\n{"password":"hunter2"}',
    '2026-11-28 16:58:00 ERROR yaml: line 2: found\n\n  password: "hunter2"\n',
    '2026-11-28 16:58:00 ERROR envsubst: variable substitution failed:\nlevel=info "hunter2"',
    '"hunter2" in\nenvsubst failed',
  ])
    assert.not.match(cutMangled(text), /hunter2/)
})

test('a registered value is found as YAML makes it, too', () => {
  for (const value of [
    '31415926535897932384626433832795',
    '0x1F2E3D4C5B6A',
    '0o1234567012',
    '&hunter3hunter3',
  ])
    registerSecret(value)
  for (const text of ['3.1415926535897933e+31', '34283457370986', '175304202', 'hunter3hunter3'])
    assert.is(redact(`got ${text}, not a text`), 'got ***, not a text')
  registerSecret('9'.repeat(999))
  registerSecret('1e999999')
  assert.is(redact('Infinity'), 'Infinity')
})

test('hostile texts are cut in linear time', () => {
  for (const unit of [
    'got &{',
    'got &',
    'Invalid value: {',
    'Invalid value: "\\',
    "'aaaa",
    'parsing "',
    "yaml: line '",
    '}',
    '"',
  ])
    for (const end of ['', '}', '"']) {
      const started = performance.now()
      cutMangled(`yaml: line 1 ${unit.repeat(400_000 / unit.length)}${end}`)
      assert.ok(performance.now() - started < 10_000, `${unit}: ${performance.now() - started} ms`)
    }
})

test.run()
