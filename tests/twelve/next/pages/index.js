export default function Home() {
  return `next ${process.pid}`;
}

// Hence the page is made for each request.
export async function getServerSideProps() {
  return { props: {} };
}
