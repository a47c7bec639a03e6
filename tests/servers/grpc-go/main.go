// A gRPC server and a gRPC client by grpc-go, whose messages say what is to come of the call, and a server of
// HTTP/1.1 that can be upgraded to HTTP/2 (RFC 7540, section 3.2).
//
// `serve` prints `LISTENING <address>`. `call <address> <connections> <calls> <concurrency>` makes calls,
// every kind in turn, and prints `CALLS` and a JSON list: method, status, number of calls, messages sent,
// messages received. With a path as fifth argument it makes one call on each connection first, which it
// does not count, prints `READY`, and waits for that file. `upgrade` prints `LISTENING <address>`.
//
// TABLE in the environment is the size of the header table that the server allows, METADATA the most bytes of
// metadata with a call, LATE the number from which on no call waits for its deadline, UNTIL a file: once it is
// there, no call begins any more.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const service = "/hark.test.Echo/"

const (
	trailers = iota
	trailersOnly
	never
)

// raw is a codec for messages that are bytes and nothing else.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}
func (raw) Name() string { return "raw" }

func number(name string, otherwise int) int {
	value, err := strconv.Atoi(os.Getenv(name))
	if err != nil {
		return otherwise
	}
	return value
}

func answer(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	if method == service+"Missing" {
		return status.Error(codes.Unimplemented, "no such method")
	}
	var order []byte
	if err := stream.RecvMsg(&order); err != nil {
		return err
	}
	ordered, messages, how := codes.Code(order[0]), int(order[1]), order[2]
	for how != never {
		var more []byte
		if err := stream.RecvMsg(&more); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
	}
	if ordered != codes.OK && how == trailersOnly {
		return status.Error(ordered, "as ordered")
	}
	for n := range messages {
		message := make([]byte, 100)
		message[0] = byte(n)
		if err := stream.SendMsg(&message); err != nil {
			return err
		}
	}
	if how == never {
		// The client gives up first: what is said after that is not heard by anybody.
		<-stream.Context().Done()
		time.Sleep(time.Second)
	}
	return status.Error(ordered, "as ordered")
}

func serve() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := grpc.NewServer(
		grpc.ForceServerCodec(raw{}),
		grpc.UnknownServiceHandler(answer),
		grpc.MaxHeaderListSize(1<<20),
		grpc.HeaderTableSize(uint32(number("TABLE", 4096))),
	)
	fmt.Println("LISTENING", listener.Addr())
	return server.Serve(listener)
}

func upgrade() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, r.Proto)
	})
	server := http.Server{Handler: h2c.NewHandler(handler, &http2.Server{})}
	fmt.Println("LISTENING", listener.Addr())
	return server.Serve(listener)
}

type outcome struct {
	method         string
	code           codes.Code
	sent, received int
}

// stream makes a call with so many messages and reads `answers` of what comes, or all if that is negative.
func stream(ctx context.Context, conn *grpc.ClientConn, method string, order []byte, messages, answers int) error {
	desc := grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
	call, err := conn.NewStream(ctx, &desc, service+method)
	if err != nil {
		return err
	}
	for range messages {
		// The end of the call comes with what is read.
		if err := call.SendMsg(&order); err != nil {
			break
		}
	}
	if err := call.CloseSend(); err != nil {
		return err
	}
	for n := 0; answers < 0 || n < answers; n++ {
		var message []byte
		if err := call.RecvMsg(&message); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

// one makes one call; its number says of what kind.
func one(conn *grpc.ClientConn, n int) outcome {
	statuses := []codes.Code{0, 0, 0, 5, 13, 0, 16, 14}
	ordered := statuses[n%len(statuses)]
	how := byte(trailers)
	if n%3 == 0 {
		how = trailersOnly
	}
	answers := func(messages int) int {
		if ordered != codes.OK && how == trailersOnly {
			return 0
		}
		return messages
	}
	value := fmt.Sprintf("%d-%s", n, strings.Repeat("x", n*997%number("METADATA", 300)))
	ctx := metadata.AppendToOutgoingContext(context.Background(), "x-number", value)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	order := func(messages int) []byte { return []byte{byte(ordered), byte(messages), how} }
	var result outcome
	var err error
	switch kind := n % 11; {
	case n < number("LATE", 50) && n%33 == 8:
		// The deadline passes: a long one, which a busy machine hardly shortens. Few are waited for.
		late, done := context.WithTimeout(ctx, 4*time.Second)
		defer done()
		result = outcome{method: "Waits", sent: 1, received: 1}
		err = stream(late, conn, result.method, []byte{0, 1, never}, 1, -1)
	case kind == 4, kind == 5, kind == 8:
		result = outcome{method: "Lists", sent: 1, received: answers(20)}
		err = stream(ctx, conn, result.method, order(20), 1, -1)
	case kind == 6:
		result = outcome{method: "Collects", sent: 5, received: answers(1)}
		err = stream(ctx, conn, result.method, order(1), 5, -1)
	case kind == 7:
		result = outcome{method: "Chats", sent: 5, received: answers(1)}
		err = stream(ctx, conn, result.method, order(1), 5, -1)
	case kind == 10:
		// Given up after the first answer: the stream is reset.
		result = outcome{method: "Hangs", sent: 1, received: 1}
		err = stream(ctx, conn, result.method, []byte{0, 1, never}, 1, 1)
		cancel()
		if err == nil {
			err = status.Error(codes.Canceled, "given up")
		}
	default:
		result = outcome{method: "Unary", sent: 1, received: answers(1)}
		if kind == 9 {
			result.method, result.received = "Missing", 0
		}
		// Deadlines that differ: each is an entry of the header table.
		late, done := context.WithTimeout(ctx, time.Duration(60+n)*time.Second)
		defer done()
		request := order(1)
		var reply []byte
		err = conn.Invoke(late, service+result.method, &request, &reply)
	}
	result.code = status.Code(err)
	return result
}

func call(address string, connections, calls, concurrency int, gate string) error {
	var conns []*grpc.ClientConn
	for range connections {
		conn, err := grpc.NewClient(
			address,
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})),
			grpc.WithMaxHeaderListSize(1<<20),
		)
		if err != nil {
			return err
		}
		conns = append(conns, conn)
	}
	if gate != "" {
		for _, conn := range conns {
			one(conn, 0)
		}
		fmt.Println("READY")
		for {
			if _, err := os.Stat(gate); err == nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	type key struct {
		method, code string
	}
	counts := map[key]*[3]int{}
	until := os.Getenv("UNTIL")
	over := func() bool {
		_, err := os.Stat(until)
		return until != "" && err == nil
	}
	var lock sync.Mutex
	var workers sync.WaitGroup
	for _, conn := range conns {
		next := &atomic.Int64{}
		for range concurrency {
			workers.Add(1)
			go func() {
				defer workers.Done()
				for {
					n := int(next.Add(1)) - 1
					if n >= calls || over() {
						return
					}
					result := one(conn, n)
					lock.Lock()
					key := key{result.method, name(result.code)}
					if counts[key] == nil {
						counts[key] = &[3]int{}
					}
					counts[key][0]++
					counts[key][1] += result.sent
					counts[key][2] += result.received
					lock.Unlock()
				}
			}()
		}
	}
	workers.Wait()
	// A reset is written by the connection's own routine; nothing tells when that has been done.
	time.Sleep(500 * time.Millisecond)
	rows := [][]any{}
	for key, count := range counts {
		rows = append(rows, []any{service[1:] + key.method, key.code, count[0], count[1], count[2]})
	}
	text, err := json.Marshal(rows)
	if err != nil {
		return err
	}
	fmt.Println("CALLS", string(text))
	return nil
}

// name is the name of a status (doc/statuscodes.md of gRPC), which Go spells in its own way.
func name(code codes.Code) string {
	names := []string{
		"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
		"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
		"UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
	}
	return names[code]
}

func run(args []string) error {
	switch {
	case len(args) == 1 && args[0] == "serve":
		return serve()
	case len(args) == 1 && args[0] == "upgrade":
		return upgrade()
	case len(args) >= 5 && args[0] == "call":
		var numbers [3]int
		for n := range numbers {
			value, err := strconv.Atoi(args[2+n])
			if err != nil {
				return err
			}
			numbers[n] = value
		}
		gate := ""
		if len(args) > 5 {
			gate = args[5]
		}
		return call(args[1], numbers[0], numbers[1], numbers[2], gate)
	}
	return errors.New("serve, upgrade, or call <address> <connections> <calls> <concurrency> [gate]")
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}
