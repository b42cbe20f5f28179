// Command go-ws is a WebSocket client as users write it, with gorilla/websocket.
//
// It dials the address, sends the subscribe frame and prints every frame that comes, one a line.
// With -topics unset the frame is, word for word, the one that existing programs send. It ends with
// status 0 once it has seen `subscribed` and, unless -want=subscribed, a `changes` frame; with
// status 1, and the reason on stderr, when the deadline passes first.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// usersFrame is what existing programs send. Its bytes are the promise that is tested.
const usersFrame = `{"action":"subscribe","topics":["dashboard:metrics","alerts:fraud"]}`

// header is the part of a server frame that decides whether the program is done.
type header struct {
	Type    string            `json:"type"`
	Topic   string            `json:"topic"`
	Seq     *uint64           `json:"seq"`
	Prev    *uint64           `json:"prev"`
	Insert  []json.RawMessage `json:"insert"`
	Retract []json.RawMessage `json:"retract"`
}

// progress is what has been seen so far.
type progress struct {
	subscribed map[string]bool
	lastSeq    map[string]uint64 // of the last frame but heartbeats
	beatSeq    map[string]uint64 // of the last heartbeat, which may move a topic on, too
	changes    int
}

func main() {
	addr := flag.String("url", "ws://localhost:8081/ws", "address to dial")
	topics := flag.String("topics", "", "comma-separated topics; unset sends the users' own frame")
	want := flag.String("want", "changes", "stop after: subscribed | changes")
	deadline := flag.Duration("deadline", 20*time.Second, "give up after this long")
	flag.Parse()
	if *want != "changes" && *want != "subscribed" {
		fmt.Fprintf(os.Stderr, "go-ws: -want must be subscribed or changes, not %q\n", *want)
		os.Exit(2)
	}
	if err := run(*addr, *topics, *want == "changes", *deadline); err != nil {
		fmt.Fprintln(os.Stderr, "go-ws:", err)
		os.Exit(1)
	}
}

func run(addr, topics string, wantChanges bool, limit time.Duration) error {
	frame := []byte(usersFrame)
	names := []string{"dashboard:metrics", "alerts:fraud"}
	if topics != "" {
		names = strings.Split(topics, ",")
		var err error
		frame, err = json.Marshal(map[string]any{"action": "subscribe", "topics": names})
		if err != nil {
			return err
		}
	}
	conn, _, err := websocket.DefaultDialer.Dial(addr, nil)
	if err != nil {
		return fmt.Errorf("dial %s: %w", addr, err)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	if err := conn.WriteMessage(websocket.TextMessage, frame); err != nil {
		return fmt.Errorf("send the subscribe frame: %w", err)
	}
	seen := progress{subscribed: map[string]bool{}, lastSeq: map[string]uint64{}, beatSeq: map[string]uint64{}}
	for {
		kind, message, err := conn.ReadMessage()
		if err != nil {
			return fmt.Errorf("after %d of %d topics subscribed and %d changes frames: %w",
				len(seen.subscribed), len(names), seen.changes, err)
		}
		fmt.Println(string(message))
		if kind != websocket.TextMessage {
			return errors.New("the server sent a binary frame")
		}
		if err := seen.note(message); err != nil {
			return err
		}
		if len(seen.subscribed) == len(names) && (!wantChanges || seen.changes > 0) {
			closing := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
			return conn.WriteControl(websocket.CloseMessage, closing, time.Now().Add(time.Second))
		}
	}
}

// note takes one frame in. A frame that breaks the protocol is an error: a `prev` that is not the
// topic's last `seq` means that something was missed without a `gap` frame.
func (p *progress) note(message []byte) error {
	var h header
	if err := json.Unmarshal(message, &h); err != nil {
		return fmt.Errorf("a frame is not JSON: %w", err)
	}
	switch h.Type {
	case "subscribed":
		p.subscribed[h.Topic] = true
	case "changes":
		if h.Seq == nil || h.Prev == nil {
			return errors.New("a changes frame without seq or prev")
		}
		if last, ok := p.lastSeq[h.Topic]; ok && *h.Prev != last && *h.Prev != p.beatSeq[h.Topic] {
			return fmt.Errorf("%s: prev is %d, the last seq was %d", h.Topic, *h.Prev, last)
		}
		if len(h.Insert) == 0 && len(h.Retract) == 0 {
			return errors.New("a changes frame that changes nothing")
		}
		p.changes++
	case "error":
		return fmt.Errorf("the server answered with an error: %s", message)
	case "":
		return errors.New("a frame without a type")
	}
	if h.Seq != nil {
		if h.Type == "heartbeat" {
			p.beatSeq[h.Topic] = *h.Seq
		} else {
			p.lastSeq[h.Topic] = *h.Seq
		}
	}
	return nil
}
