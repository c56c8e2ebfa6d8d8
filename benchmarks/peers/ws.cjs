// node's `ws`, as its documentation shows a broadcast; a line on standard input broadcasts. `PORT SIZE`
const { WebSocketServer } = require("ws");

const [port, size] = process.argv.slice(2).map(Number);
const text = "x".repeat(size);
const server = new WebSocketServer({ host: "127.0.0.1", port, backlog: 4096, perMessageDeflate: false });
process.stdin.on("data", () => {
  for (const client of server.clients) client.send(text);
});
