// Socket.IO with its Redis adapter; a line on standard input is emitted through Redis. `PORT SIZE REDIS`
const { createServer } = require("node:http");
const { Server } = require("socket.io");
const { createAdapter } = require("@socket.io/redis-adapter");
const { Emitter } = require("@socket.io/redis-emitter");
const { createClient } = require("redis");

async function main() {
  const [port, size, path] = process.argv.slice(2);
  const text = "x".repeat(Number(size));
  const clients = [0, 1, 2].map(() => createClient({ socket: { path } }));
  await Promise.all(clients.map((client) => client.connect()));
  const http = createServer();
  const never = 2_000_000_000; // milliseconds
  const options = { transports: ["websocket"], serveClient: false, pingInterval: never, connectTimeout: never };
  new Server(http, options).adapter(createAdapter(clients[0], clients[1]));
  const emitter = new Emitter(clients[2]);
  http.listen(Number(port), "127.0.0.1", 4096);
  process.stdin.on("data", () => emitter.emit("state", text));
}

main();
