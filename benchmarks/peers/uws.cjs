// uWebSockets.js, with its own publish and subscribe; a line on standard input publishes. `PORT SIZE`
const uws = require("uwebsockets");

const [port, size] = process.argv.slice(2).map(Number);
const text = "x".repeat(size);
const app = uws.App();
const open = (socket) => socket.subscribe("all");
app.ws("/*", { compression: 0, idleTimeout: 0, sendPingsAutomatically: false, open });
app.listen("127.0.0.1", port, (listening) => listening || process.exit(1));
process.stdin.on("data", () => app.publish("all", text));
