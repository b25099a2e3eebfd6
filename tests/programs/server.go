package main

import (
	"fmt"
	"net/http"
	"os"
	"time"
)

func main() {
	// Each request is written down, if there is a folder for that.
	record, _ := os.OpenFile(fmt.Sprintf("%s/%d", os.Getenv("RECORD"), os.Getpid()), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(record, r.URL.Path)
		time.Sleep(20 * time.Millisecond)
		fmt.Fprintf(w, "pid %d", os.Getpid())
	})
	if err := http.ListenAndServe(":3000", nil); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
