// Prisma's query engine for LiteLLM's client: the WebAssembly build that npm carries, behind the HTTP
// of the binary that only Prisma's own host has. Takes GraphQL, asks the engine in its JSON protocol.
const fs = require('fs')
const http = require('http')
const { bindAdapter } = require('@prisma/driver-adapter-utils')
const { PrismaPg } = require('@prisma/adapter-pg')
const { parse } = require('graphql')
const { Pool } = require('pg')

const BUILD = '@prisma/client/runtime/query_engine_bg.postgresql'
const OPERATION = new RegExp(
  '^(findUnique|findFirst|findMany|createOne|createMany|updateOne|updateMany|deleteOne|deleteMany' +
    '|upsertOne|aggregate|groupBy|queryRaw|executeRaw)(OrThrow)?(.*)$'
)

function started() {
  const glue = require(`${BUILD}.js`)
  const wasm = new WebAssembly.Module(fs.readFileSync(require.resolve(`${BUILD}.wasm`)))
  const { exports } = new WebAssembly.Instance(wasm, { './query_engine_bg.js': glue })
  glue.__wbg_set_wasm(exports)
  exports.__wbindgen_start?.()
  const datamodel = fs
    .readFileSync(process.env.PRISMA_DML_PATH, 'utf8')
    .replace('generator client {', '$&\n  previewFeatures = ["driverAdapters"]')
  const [connectionString] = process.env.DATABASE_URL.split('?')
  const adapter = bindAdapter(new PrismaPg(new Pool({ connectionString, max: 10 })))
  const options = { datamodel, logLevel: 'error', logQueries: false, enableMetrics: false }
  return new glue.QueryEngine(options, () => {}, adapter)
}

function asked(graphql) {
  const field = parse(graphql).definitions[0].selectionSet.selections[0]
  const [, action, or, modelName] = OPERATION.exec(field.name.value)
  return { modelName: modelName || undefined, action: action + (or ?? ''), query: query(field) }
}

function query(field) {
  const { arguments: given = [], selectionSet } = field
  const selected = (s) => (s.selectionSet || s.arguments?.length ? query(s) : true)
  return {
    arguments: Object.fromEntries(given.map((a) => [a.name.value, value(a.value)])),
    selection: Object.fromEntries((selectionSet?.selections ?? []).map((s) => [s.name.value, selected(s)])),
  }
}

function value(node) {
  switch (node.kind) {
    case 'IntValue':
    case 'FloatValue':
      return Number(node.value)
    case 'NullValue':
      return null
    case 'ListValue':
      return node.values.map(value)
    case 'ObjectValue':
      return Object.fromEntries(node.fields.map((f) => [f.name.value, value(f.value)]))
    default:
      return node.value
  }
}

function told(answer) {
  if (answer.errors) return answer
  const [found] = Object.values(answer.data)
  return { data: { result: found?.columns ? raw(found) : plain(found) } }
}

// The adapter leaves a column's JSON a text, which the native engine does not.
function raw({ columns, types, rows }) {
  const cell = (found, i) => (types[i] === 'json' && typeof found === 'string' ? JSON.parse(found) : found)
  return { columns, types, rows: rows.map((row) => row.map(cell)) }
}

function plain(found) {
  if (Array.isArray(found)) return found.map(plain)
  if (found === null || typeof found !== 'object') return found
  if ('$type' in found) return found.value
  return Object.fromEntries(Object.entries(found).map(([name, inside]) => [name, plain(inside)]))
}

async function answer(engine, { method, url, headers }, body) {
  const [, place, id, end] = url.split('/')
  if (place === 'transaction') {
    if (id === 'start') return JSON.parse(await engine.startTransaction(body, '{}'))
    const ended = end === 'commit' ? engine.commitTransaction(id, '{}') : engine.rollbackTransaction(id, '{}')
    return JSON.parse(await ended)
  }
  if (method !== 'POST') return { status: 'ok' }
  const { query, batch, transaction } = JSON.parse(body)
  const whole = batch
    ? { batch: batch.map((each) => asked(each.query)), transaction: transaction ? {} : undefined }
    : asked(query)
  const found = JSON.parse(await engine.query(JSON.stringify(whole), '{}', headers['x-transaction-id']))
  return found.batchResult ? { batchResult: found.batchResult.map(told) } : told(found)
}

async function serve(port) {
  const engine = started()
  await engine.connect('{}')
  const server = http.createServer(async (heard, answering) => {
    const chunks = []
    for await (const chunk of heard) chunks.push(chunk)
    let found
    try {
      found = await answer(engine, heard, Buffer.concat(chunks).toString())
    } catch (error) {
      console.error(error)
      answering.statusCode = 500
      found = { errors: [{ error: String(error) }] }
    }
    answering.setHeader('content-type', 'application/json')
    answering.end(JSON.stringify(found))
  })
  server.listen(port, 'localhost')
  process.on('SIGINT', () => process.exit(0))
}

const words = process.argv.slice(2)
if (words.includes('--version')) console.log('query-engine 393aa359c9ad4a4bb28630fb5613f9c281cde053')
else serve(Number(words[words.indexOf('-p') + 1]))
