package client_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gamutdb/gamut/client"
	"github.com/gamutdb/gamut/kv"
)

// addresses are those of a cluster that TestMain starts.
var addresses []string

func Example() {
	ctx := context.Background()
	c, err := client.Open(addresses, client.Options{})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	orders := c.Keyspace("orders") // linearizable
	if _, err := orders.Put(ctx, "order 1", []byte("two books")); err != nil {
		panic(err)
	}
	r, err := orders.Get(ctx, "order 1")
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s\n", r.Value)
	_, err = orders.Get(ctx, "order 2")
	fmt.Println(errors.Is(err, client.ErrNotFound))
	// Output:
	// two books
	// true
}

// A write that others may have overtaken is made under a condition.
func ExampleKeyspace_CAS() {
	ctx := context.Background()
	c, err := client.Open(addresses, client.Options{})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	stock := c.Keyspace("orders")
	version, err := stock.Put(ctx, "books", []byte("12"))
	if err != nil {
		panic(err)
	}
	if _, err = stock.CAS(ctx, "books", version, []byte("11")); err != nil {
		panic(err)
	}
	_, err = stock.CAS(ctx, "books", version, []byte("11"))
	fmt.Println(errors.Is(err, client.ErrCondition))
	// Output:
	// true
}

// What is not known is not failed.
func ExampleUnknownError() {
	ctx := context.Background()
	c, err := client.Open(addresses, client.Options{})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	_, err = c.Keyspace("orders").Incr(ctx, "visits", 1)
	var unknown *client.UnknownError
	var refused *client.RefusedError
	switch {
	case err == nil:
		fmt.Println("counted")
	case errors.As(err, &unknown):
		fmt.Println("it may have been counted, or may be yet")
	case errors.As(err, &refused):
		fmt.Println("it was not counted, and never will be:", refused.Code)
	}
	// Output:
	// counted
}

// A read may ask for less than its keyspace promises, and for a receipt of what it got.
func ExampleLevel() {
	ctx := context.Background()
	c, err := client.Open(addresses, client.Options{})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	orders := c.Keyspace("orders")
	if _, err := orders.Put(ctx, "order 3", []byte("a pen")); err != nil {
		panic(err)
	}
	var receipt kv.Receipt
	if _, err := orders.Get(ctx, "order 3", client.Level(kv.BoundedAge(5*time.Second)), client.Receipt(&receipt)); err != nil && !errors.Is(err, client.ErrNotFound) {
		panic(err)
	}
	fmt.Println(receipt.Asked, receipt.Met, time.Since(receipt.AsOf) < 6*time.Second)

	_, err = orders.Get(ctx, "order 3", client.Level(kv.LevelQuorum))
	var refused *client.RefusedError
	fmt.Println(errors.As(err, &refused), refused.Code)
	// Output:
	// bounded:5s bounded:5s true
	// true unsupported
}

// A session moves to another client by its token.
func ExampleSession() {
	ctx := context.Background()
	session := client.NewSession()
	here, err := client.Open(addresses, client.Options{Session: session})
	if err != nil {
		panic(err)
	}
	defer here.Close()
	if _, err := here.Keyspace("carts").Put(ctx, "cart", []byte("book")); err != nil { // causal
		panic(err)
	}
	moved := client.NewSession()
	moved.Restore("carts", session.Token("carts"))
	there, err := client.Open(addresses, client.Options{Session: moved})
	if err != nil {
		panic(err)
	}
	defer there.Close()
	r, err := there.Keyspace("carts").Get(ctx, "cart")
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s\n", r.Value)
	// Output:
	// book
}

// Operations of a pipeline are under way together.
func ExamplePipeline() {
	ctx := context.Background()
	c, err := client.Open(addresses, client.Options{})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	p := c.Keyspace("orders").Pipeline()
	for i := range 100 {
		p.Put(fmt.Sprintf("item %02d", i), []byte("x"))
	}
	sum := p.Incr("items", 100)
	if err := p.Do(ctx); err != nil {
		panic(err)
	}
	fmt.Println(sum.Count)
	// Output:
	// 100
}

// A scan lists keys in their order.
func ExampleKeyspace_Scan() {
	ctx := context.Background()
	c, err := client.Open(addresses, client.Options{})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	names := c.Keyspace("orders")
	for _, name := range []string{"name/b", "name/a", "name/c", "named"} {
		if _, err := names.Put(ctx, name, []byte(name)); err != nil {
			panic(err)
		}
	}
	for r, err := range names.Scan(ctx, client.Range{Prefix: "name/", Limit: 2}) {
		if err != nil {
			panic(err)
		}
		fmt.Println(r.Key)
	}
	// Output:
	// name/a
	// name/b
}
