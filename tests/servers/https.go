// HTTP over crypto/tls, which says which socket each request went over.
//
//	serve CERT KEY               prints PORT n, then "SEEN path peer-port" per request
//	get PORT CONNECTIONS N STREAMS  N requests on each of so many connections at a time, over
//	                             HTTP/1.1, or by so many streams at a time over HTTP/2 if it is not
//	                             0; prints "SENT path local-port" per answered request, then DONE
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"strconv"
	"sync"
)

var lock sync.Mutex

func say(words ...any) {
	lock.Lock()
	defer lock.Unlock()
	fmt.Println(words...)
}

func number(word string) int {
	n, err := strconv.Atoi(word)
	if err != nil {
		panic(err)
	}
	return n
}

func serve(cert, key string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	say("PORT", listener.Addr().(*net.TCPAddr).Port)
	answer := func(w http.ResponseWriter, r *http.Request) {
		_, port, _ := net.SplitHostPort(r.RemoteAddr)
		say("SEEN", r.URL.Path, port)
		io.WriteString(w, "hello")
	}
	panic(http.ServeTLS(listener, http.HandlerFunc(answer), cert, key))
}

func ask(client *http.Client, base, path string) {
	request, err := http.NewRequest("GET", base+path, nil)
	if err != nil {
		panic(err)
	}
	local := 0
	trace := httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) {
		local = got.Conn.LocalAddr().(*net.TCPAddr).Port
	}}
	request = request.WithContext(httptrace.WithClientTrace(request.Context(), &trace))
	response, err := client.Do(request)
	if err != nil {
		panic(err)
	}
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil || string(body) != "hello" {
		panic(fmt.Sprint(err, string(body)))
	}
	say("SENT", path, local)
}

func get(port string, connections, count, streams int) {
	base := "https://127.0.0.1:" + port
	var all sync.WaitGroup
	for c := range connections {
		client := &http.Client{Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
			ForceAttemptHTTP2: streams != 0,
			MaxConnsPerHost:   1,
		}}
		// The first one alone, so that there is one connection.
		first := sync.WaitGroup{}
		first.Add(1)
		for s := range max(streams, 1) {
			all.Add(1)
			go func() {
				defer all.Done()
				if s != 0 {
					first.Wait()
				}
				for n := s; n < count; n += max(streams, 1) {
					ask(client, base, fmt.Sprintf("/c%d/n%d", c, n))
					if n == 0 {
						first.Done()
					}
				}
			}()
		}
	}
	all.Wait()
	say("DONE")
}

func main() {
	switch words := os.Args[1:]; words[0] {
	case "serve":
		serve(words[1], words[2])
	case "get":
		get(words[1], number(words[2]), number(words[3]), number(words[4]))
	}
}
