// The least a streaming proxy on node:http can do: what gw's own work is measured against.
import http from 'node:http'

const target = new URL(process.argv[2]!)
const agent = new http.Agent({ keepAlive: true, maxFreeSockets: 256, scheduling: 'lifo' })
const server = http.createServer((req, res) => {
  const upstream = http.request(
    { host: target.hostname, port: target.port, method: req.method, path: req.url, headers: req.headers, agent },
    reply => {
      res.writeHead(reply.statusCode!, reply.headers)
      reply.pipe(res)
    },
  )
  upstream.on('error', () => res.destroy())
  res.on('close', () => upstream.destroy())
  req.pipe(upstream)
})
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${(server.address() as { port: number }).port}`))
