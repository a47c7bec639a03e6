// The test contract (see app.py) on Go's net/http.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

func handle(w http.ResponseWriter, r *http.Request) {
	size, _ := io.Copy(io.Discard, r.Body)
	parts := strings.Split(r.URL.Path, "/")[1:]
	number := func(index int) int {
		value, _ := strconv.Atoi(parts[index])
		return value
	}
	switch parts[0] {
	case "status":
		w.WriteHeader(number(1))
		if number(1) != 204 && number(1) != 304 {
			io.WriteString(w, "status\n")
		}
	case "bytes":
		w.Header().Set("Content-Length", parts[1])
		w.Write(make([]byte, number(1)))
	case "chunked":
		for count := 0; count < number(1); count++ {
			w.Write([]byte(strings.Repeat("c", number(2))))
			w.(http.Flusher).Flush()
		}
	case "sleep":
		time.Sleep(time.Duration(number(1)) * time.Millisecond)
		io.WriteString(w, "slept\n")
	default:
		fmt.Fprintf(w, "%d\n", size)
	}
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("PORT", listener.Addr().(*net.TCPAddr).Port)
	fmt.Fprintln(os.Stderr, http.Serve(listener, http.HandlerFunc(handle)))
}
