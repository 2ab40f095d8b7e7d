package client_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
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

// A set may be changed at any node, also when none reaches another. What one has added goes only with something that had seen it.
func ExampleSet() {
	ctx := context.Background()
	c, err := client.Open(addresses, client.Options{})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	cart := c.Keyspace("carts").Set("cart of Ann") // causal
	added, err := cart.Add(ctx, "book", "pen", "book")
	if err != nil {
		panic(err)
	}
	removed, err := cart.Remove(ctx, "pen", "lamp")
	if err != nil {
		panic(err)
	}
	members, err := cart.Members(ctx)
	if err != nil {
		panic(err)
	}
	fmt.Println(added, removed, members)
	// Output:
	// 2 1 [book]
}

// Values that did not know of each other are kept side by side, until somebody has read them and writes one in their place.
func ExampleKeyspace_Siblings() {
	ctx := context.Background()
	c, err := client.Open(addresses, client.Options{})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	notes := c.Keyspace("notes") // causal, and keeps siblings
	if _, err := notes.Put(ctx, "door", []byte("paint it")); err != nil {
		panic(err)
	}
	read, err := notes.Get(ctx, "door")
	if err != nil {
		panic(err)
	}
	for _, colour := range []string{"red", "blue"} { // by two who have read the same
		if _, err := notes.Put(ctx, "door", []byte("paint it "+colour), client.Replacing(read.Context)); err != nil {
			panic(err)
		}
	}
	all, err := notes.Siblings(ctx, "door")
	if err != nil {
		panic(err)
	}
	for _, r := range all.Records {
		fmt.Printf("%s\n", r.Value)
	}
	if _, err = notes.Put(ctx, "door", []byte("paint it violet"), client.Replacing(all.Context)); err != nil {
		panic(err)
	}
	left, err := notes.Get(ctx, "door")
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s, and %d more\n", left.Value, left.Siblings)
	// Output:
	// paint it blue
	// paint it red
	// paint it violet, and 0 more
}

// What is decided by values that were read happens only if they are still so; else it is decided anew.
func ExampleClient_Update() {
	ctx := context.Background()
	c, err := client.Open(addresses, client.Options{})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	stock, order := c.Keyspace("bank").Key("chairs"), c.Keyspace("orders").Key("order 17") // any shards, any linearizable keyspaces
	if _, err := c.Keyspace("bank").Put(ctx, "chairs", []byte("2")); err != nil {
		panic(err)
	}
	errSoldOut := errors.New("sold out")
	sell := func(tx *client.Tx) error {
		left, err := tx.Get(stock)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(string(left.Value))
		if err != nil {
			return err
		}
		if n == 0 {
			return errSoldOut
		}
		tx.Put(stock, []byte(strconv.Itoa(n-1)))
		tx.Put(order, []byte("a chair"))
		return nil
	}
	for range 3 {
		fmt.Println(c.Update(ctx, sell))
	}
	// Output:
	// <nil>
	// <nil>
	// sold out
}

// A transaction that needs nothing read before is sent whole, with its conditions.
func ExampleTxn() {
	ctx := context.Background()
	c, err := client.Open(addresses, client.Options{})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	user, count := c.Keyspace("orders").Key("user ada"), c.Keyspace("bank").Key("users")
	register := c.Txn()
	register.IfAbsent(user)
	register.Then.Put(user, []byte("ada@example.org"))
	sum := register.Then.Incr(count, 1)
	taken := register.Else.Get(user)
	for range 2 {
		done, err := register.Do(ctx)
		if err != nil {
			panic(err)
		}
		if done.Else {
			fmt.Printf("taken by %s\n", taken.Record.Value)
		} else {
			fmt.Println("user number", sum.Count)
		}
	}
	// Output:
	// user number 1
	// taken by ada@example.org
}

// A snapshot is of one instant over any shards and linearizable keyspaces.
func ExampleClient_Snapshot() {
	ctx := context.Background()
	c, err := client.Open(addresses, client.Options{})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	bank := c.Keyspace("bank")
	if _, err := bank.Incr(ctx, "left", 7); err != nil {
		panic(err)
	}
	records, err := c.Snapshot(ctx, bank.Key("left"), bank.Key("right"))
	if err != nil {
		panic(err)
	}
	for _, r := range records {
		fmt.Printf("%s is there: %t, %q\n", r.Key, r.Version != 0, r.Value)
	}
	// Output:
	// left is there: true, "7"
	// right is there: false, ""
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
