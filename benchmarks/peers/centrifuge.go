// The library of Centrifugo; a line on standard input publishes through Redis, which keeps the newest publication, as
// ours keeps the state. Each client is subscribed as it connects. `PORT SIZE REDIS`
package main

import (
	"bufio"
	"context"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/centrifugal/centrifuge"
)

const never = 24 * time.Hour

func check(err error) {
	if err != nil {
		log.Fatal("error: ", err)
	}
}

func main() {
	size, err := strconv.Atoi(os.Args[2])
	check(err)
	frame := []byte(`{"result":{"channel":"all","data":{"data":""}}}`)
	text := []byte(`"` + strings.Repeat("x", size-len(frame)) + `"`)
	config := centrifuge.DefaultConfig
	config.ClientPresenceUpdateInterval = never
	node, err := centrifuge.New(config)
	check(err)
	shard, err := centrifuge.NewRedisShard(node, centrifuge.RedisShardConfig{Address: os.Args[3]})
	check(err)
	shards := []*centrifuge.RedisShard{shard}
	broker, err := centrifuge.NewRedisBroker(node, centrifuge.RedisBrokerConfig{Shards: shards, UseStreams: true})
	check(err)
	node.SetBroker(broker)
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		all := map[string]centrifuge.SubscribeOptions{"all": {}}
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{}, Subscriptions: all}, nil
	})
	check(node.Run())
	http.Handle("/", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{PingInterval: never}))
	go func() { check(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil)) }()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		_, err := node.Publish("all", text, centrifuge.WithHistory(1, never))
		check(err)
	}
}
