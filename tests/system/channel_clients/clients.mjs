// What the public clients do with the gateway: pusher-js and pusher (server), eventsource. Prints one JSON line of results.
import PusherClient from "pusher-js";
import PusherServer from "pusher";
import { EventSource } from "eventsource";

const [port, secret] = [Number(process.argv[2]), process.argv[3]];
const server = new PusherServer({ appId: "spork", key: "spork", secret, host: "127.0.0.1", port: String(port), useTLS: false });
const within = (name, start) =>
  new Promise((done, fail) => {
    setTimeout(() => fail(new Error(`nothing came: ${name}`)), 20000);
    start(done);
  });
const next = (target, event) => within(event, (done) => target.bind(event, done));
const client = (user) =>
  new PusherClient("spork", {
    wsHost: "127.0.0.1", wsPort: port, forceTLS: false, enabledTransports: ["ws"], cluster: "none", disableStats: true,
    channelAuthorization: {
      customHandler: ({ socketId, channelName }, give) =>
        give(null, server.authorizeChannel(socketId, channelName,
          channelName.startsWith("presence-") ? { user_id: user, user_info: { name: user } } : undefined)),
    },
  });
const joined = (who, name) => {
  const channel = who.subscribe(name);
  return next(channel, "pusher:subscription_succeeded").then(() => channel);
};

const [ann, bob] = [client("ann"), client("bob")];
await Promise.all([next(ann.connection, "connected"), next(bob.connection, "connected")]);
const told = {};
const news = await joined(ann, "public-news");
let heard = next(news, "sold");
await server.trigger("public-news", "sold", { n: 1 });
told.triggered = await heard;
heard = next(news, "batched");
await server.triggerBatch([{ channel: "public-news", name: "batched", data: { n: 2 } }]);
told.batched = await heard;
const [mine, theirs] = await Promise.all([joined(ann, "private-x"), joined(bob, "private-x")]);
heard = next(theirs, "client-hi");
mine.trigger("client-hi", { a: "b" });
told.client_event = await heard;
const room = await joined(ann, "presence-room");
heard = next(room, "pusher:member_added");
const same = await joined(bob, "presence-room");
told.members = same.members.count;
told.added = (await heard).id;
told.users = (await (await server.get({ path: "/channels/presence-room/users" })).json()).users.map((each) => each.id).sort();
told.channels = (await (await server.get({ path: "/channels", params: { filter_by_prefix: "presence-", info: "user_count" } })).json()).channels;
heard = next(room, "pusher:member_removed");
bob.disconnect();
told.removed = (await heard).id;
const hub = `http://127.0.0.1:${port}/.well-known/mercure?match=public-news`;
const stream = new EventSource(hub);
await within("open", (done) => (stream.onopen = done));
const event = within("event", (done) => stream.addEventListener("hey", done));
await server.trigger("public-news", "hey", { v: 3 });
told.event_source = [(await event).data, (await event).lastEventId.startsWith("urn:uuid:")];
stream.close();
ann.disconnect();
console.log(JSON.stringify(told));
process.exit(0);
