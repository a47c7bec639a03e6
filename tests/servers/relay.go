// What relay.py does, on Go's net/http: relay ADDRESS [headers].
package main

import (
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"os"
	"time"
)

var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

func ask(path, traceparent string) {
	request, err := http.NewRequest("GET", "http://"+os.Args[1]+path, nil)
	if err != nil {
		panic(err)
	}
	if traceparent != "" {
		request.Header.Set("Traceparent", traceparent)
	}
	response, err := client.Do(request)
	if err != nil {
		return
	}
	io.Copy(io.Discard, response.Body)
	response.Body.Close()
}

func serve(w http.ResponseWriter, r *http.Request) {
	traceparent := ""
	if len(os.Args) > 2 {
		traceparent = r.Header.Get("Traceparent")
	}
	for number := 0; number < 2; number++ {
		ask(fmt.Sprintf("/b/%s.%d", r.URL.Path[3:], number), traceparent)
		time.Sleep(time.Duration(rand.Intn(2000)) * time.Microsecond)
	}
	fmt.Fprint(w, "ok\n")
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println("PORT", listener.Addr().(*net.TCPAddr).Port)
	go func() {
		for number := 0; ; number++ {
			ask(fmt.Sprintf("/poll/%d", number), "")
			time.Sleep(3 * time.Millisecond)
		}
	}()
	panic(http.Serve(listener, http.HandlerFunc(serve)))
}
