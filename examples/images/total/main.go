// total writes the sum of the numbers in a file to another file. Its image has nothing else.
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

func main() {
	if len(os.Args) != 3 {
		fail(2, "usage: total NUMBERS SUM")
	}
	content, err := os.ReadFile(os.Args[1])
	if err != nil {
		fail(3, err.Error())
	}
	sum := 0.0
	for _, word := range strings.Fields(string(content)) {
		number, err := strconv.ParseFloat(word, 64)
		if err != nil {
			fail(4, "not a number: "+word)
		}
		sum += number
	}
	if err := os.WriteFile(os.Args[2], []byte(fmt.Sprint(sum)), 0o644); err != nil {
		fail(5, err.Error())
	}
}

func fail(code int, text string) {
	fmt.Fprintln(os.Stderr, "total:", text)
	os.Exit(code)
}
